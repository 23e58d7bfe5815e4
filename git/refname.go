package git

import (
	"strings"
	"unicode/utf8"
)

// Limits on ref names. A client keeps a ref in a file named after its last
// component, with ".lock" behind it while it writes, and file systems stop at
// 255 bytes.
const (
	RefNameBytesMax      = 1024
	refComponentBytesMax = 250
)

// reservedRefs is what peer keeps to itself: never pushed by people, never listed.
const reservedRefs = "refs/peer"

// CheckRefName says whether people may push a ref of this name. It is git's own
// grammar with what a server adds to it (three components at least, no branch
// that a command line would take for an option or for HEAD), valid UTF-8
// because names are signed as text, and nothing in peer's reserved part.
func CheckRefName(name string) error {
	if reason := refNameFault(name); reason != "" {
		return &RefNameError{Name: name, Reason: reason}
	}
	return nil
}

func refNameFault(name string) string {
	if len(name) > RefNameBytesMax {
		return "longer than 1024 bytes"
	}
	rest, ok := strings.CutPrefix(name, "refs/")
	if !ok {
		return "does not begin with refs/"
	}
	if !strings.Contains(rest, "/") {
		return "needs a part more, as in refs/heads/" + clip(rest, 40)
	}
	if name == reservedRefs || strings.HasPrefix(name, reservedRefs+"/") {
		return "refs/peer/ is reserved"
	}
	if fault := refFormatFault(name); fault != "" {
		return fault
	}
	if branch, ok := strings.CutPrefix(name, "refs/heads/"); ok {
		if branch == "HEAD" {
			return "a branch cannot be called HEAD"
		}
		if branch[0] == '-' {
			return "a branch cannot begin with -"
		}
	}
	if !utf8.ValidString(name) {
		return "not valid UTF-8"
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > refComponentBytesMax {
			return "a part is longer than 250 bytes"
		}
	}
	return ""
}

// IsRefName says whether git itself takes name for that of a ref.
func IsRefName(name string) bool { return refFormatFault(name) == "" }

// refFormatFault is git check-ref-format: empty for what that accepts.
func refFormatFault(name string) string {
	if name == "" {
		return "empty"
	}
	if !strings.Contains(name, "/") {
		return "has one part only"
	}
	if strings.HasSuffix(name, ".") {
		return "ends with a dot"
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "":
			return "has an empty part"
		case part[0] == '.':
			return "a part begins with a dot"
		case strings.HasSuffix(part, ".lock"):
			return "a part ends with .lock"
		}
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c < ' ' || c == 0x7f:
			return "contains a control character"
		case strings.IndexByte(" ~^:?*[\\", c) >= 0:
			return "contains " + string(rune(c))
		}
	}
	if strings.Contains(name, "..") {
		return "contains .."
	}
	if strings.Contains(name, "@{") {
		return "contains @{"
	}
	return ""
}
