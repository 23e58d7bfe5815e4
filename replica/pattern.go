package replica

import (
	"errors"
	"fmt"
	"strings"
)

// PatternBytesMax bounds a pattern of protected refs.
const PatternBytesMax = 256

const (
	anyPart  = "*"
	anyParts = "**"
)

// pattern is what the refs of a rule look like. The parts of a name are those
// between its slashes.
//
// It has at most one ** and at most one * in each part, so that a match looks at
// each byte of a name once: a push may name very many refs, and a policy have
// many rules, and all of it is judged on the goroutine that steps the group.
type pattern struct {
	head, tail []string // parts before and after the **
	open       bool     // there is one
}

// CheckPattern says whether rules can be for the refs of a pattern: a full ref
// name in which * stands for any characters within a part, once in each part, and
// ** for any number of whole parts, once. At the end ** stands for one part at
// least: refs/heads/** is every branch.
func CheckPattern(text string, rules Rules) error {
	_, err := parsePattern(text, rules)
	return err
}

func parsePattern(text string, rules Rules) (p pattern, err error) {
	if len(text) > PatternBytesMax {
		return p, fmt.Errorf("pattern of %d bytes, want %d at most", len(text), PatternBytesMax)
	}
	parts := strings.Split(text, "/")
	sample := make([]string, len(parts)) // a ref that matches, if any can
	for i, part := range parts {
		switch {
		case part == anyParts && p.open:
			return p, fmt.Errorf("pattern %q: ** twice", text)
		case part == anyParts:
			p.open, sample[i] = true, "x/x"
			p.head, p.tail = parts[:i], parts[i+1:]
			continue
		case strings.Count(part, anyPart) > 1:
			return p, fmt.Errorf("pattern %q: more than one * in a part", text)
		}
		sample[i] = strings.Replace(part, anyPart, "x", 1)
	}
	if !p.open {
		p.head = parts
	}
	if err := rules.CheckRefName(strings.Join(sample, "/")); err != nil {
		return p, errors.Join(fmt.Errorf("pattern %q matches no ref that there can be", text), err)
	}
	return p, nil
}

// matches says whether a name is one of the pattern's. It makes nothing.
func (p pattern) matches(name string) bool {
	for i, part := range p.head {
		component, rest, more := strings.Cut(name, "/")
		last := i == len(p.head)-1 && !p.open
		if more == last || !matchPart(part, component) {
			return false
		}
		name = rest
	}
	if !p.open {
		return true
	}
	if len(p.tail) == 0 {
		return name != ""
	}
	for i := len(p.tail) - 1; i >= 0; i-- {
		if name == "" {
			return false
		}
		at := strings.LastIndexByte(name, '/')
		if !matchPart(p.tail[i], name[at+1:]) {
			return false
		}
		name = name[:max(at, 0)]
	}
	return true
}

func matchPart(pattern, component string) bool {
	before, after, wild := strings.Cut(pattern, anyPart)
	if !wild {
		return pattern == component
	}
	return len(component) >= len(before)+len(after) && strings.HasPrefix(component, before) && strings.HasSuffix(component, after)
}
