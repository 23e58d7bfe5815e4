package git

import (
	"fmt"
	"strings"
)

// HelperLineBytesMax bounds a line of the remote helper protocol. Git itself
// passes on what fits a command line.
const HelperLineBytesMax = 128 << 10

// PushLine is a request of the remote helper protocol to move one ref.
type PushLine struct {
	Force bool
	Src   string // an expression for the new object; empty: delete
	Dst   string // full ref name
}

// ParsePush reads what follows "push ": [+]<src>:<dst>. A source may contain
// colons, as :/text and HEAD:file do, a ref name cannot: the last one counts.
func ParsePush(arg string) (PushLine, error) {
	var l PushLine
	rest, force := strings.CutPrefix(arg, "+")
	l.Force = force
	at := strings.LastIndexByte(rest, ':')
	if at < 0 || at == len(rest)-1 || strings.ContainsAny(rest, "\n\x00") {
		return l, fmt.Errorf("push %q: not of the form [+]src:dst", clip(arg, 120))
	}
	l.Src, l.Dst = rest[:at], rest[at+1:]
	return l, nil
}

func (l PushLine) String() string {
	s := l.Src + ":" + l.Dst
	if l.Force {
		return "+" + s
	}
	return s
}

// ParseOption reads what follows "option ": a name, and a value that git quotes
// if need be. Git 2.39 sends "object-format" with no value.
func ParseOption(arg string) (name, value string, err error) {
	name, value, _ = strings.Cut(arg, " ")
	if name == "" {
		return "", "", fmt.Errorf("option %q: no name", clip(arg, 120))
	}
	if value, err = Unquote(value); err != nil {
		return "", "", fmt.Errorf("option %s: %w", clip(name, 40), err)
	}
	return name, value, nil
}

// ParseLease reads the value of the option cas: <ref>:<oid>, of which the zero
// OID says that the ref must not exist.
func ParseLease(value string) (ref string, oid OID, err error) {
	at := strings.LastIndexByte(value, ':')
	if at <= 0 {
		return "", OID{}, fmt.Errorf("lease %q: not of the form ref:oid", clip(value, 120))
	}
	if oid, err = ParseOID(value[at+1:]); err != nil {
		return "", OID{}, fmt.Errorf("lease of %s: %w", clip(value[:at], 120), err)
	}
	return value[:at], oid, nil
}
