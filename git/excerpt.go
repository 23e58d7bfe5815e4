package git

import "strings"

// How much of a child's stderr is kept: where it began, which is what fsck found
// first, and where it ended, which is why it died.
const (
	excerptHeadBytes = 4 << 10
	excerptTailBytes = 2 << 10
)

// excerpt keeps the beginning and the end of what is written to it.
type excerpt struct {
	head, tail []byte
	dropped    bool
}

func (e *excerpt) Write(p []byte) (int, error) {
	n := len(p)
	take := min(n, excerptHeadBytes-len(e.head))
	e.head = append(e.head, p[:take]...)
	e.tail = append(e.tail, p[take:]...)
	if over := len(e.tail) - excerptTailBytes; over > 0 {
		e.tail = append(e.tail[:0], e.tail[over:]...)
		e.dropped = true
	}
	return n, nil
}

// String is the text without control bytes, lines kept.
func (e *excerpt) String() string {
	s := string(e.head)
	if e.dropped {
		s += "\n...\n"
	}
	return printable(s + string(e.tail))
}

// printable is s as it may be shown on anyone's terminal: escape sequences and
// other control bytes are dropped, and so is what isn't UTF-8.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && (r < ' ' || r >= 0x7f && r < 0xa0) || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s)
}
