package cmd

import (
	"fmt"
	"strings"
)

// troff writes a manual page, in the man macros that groff and mandoc share.
type troff struct{ b strings.Builder }

// troffMeans are the characters that troff reads as something else, and how to have them printed.
var troffMeans = map[rune]string{
	'\\': `\e`, '-': `\-`, '\'': `\(aq`, '`': `\(ga`, '^': `\(ha`, '~': `\(ti`, '"': `\(dq`,
}

// troffText spells s so that it is printed as it is, on one line and in whichever place.
func troffText(s string) string {
	var b strings.Builder
	for _, r := range strings.Join(strings.Fields(s), " ") {
		switch means, ok := troffMeans[r]; {
		case ok:
			b.WriteString(means)
		case r > 0x7e:
			fmt.Fprintf(&b, `\[u%04X]`, r)
		case r == '.' && b.Len() == 0: // at the start of a line it would be a request
			b.WriteString(`\&.`)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// macro writes a request with arguments, each of them quoted.
func (t *troff) macro(name string, args ...string) {
	t.b.WriteString("." + name)
	for _, arg := range args {
		t.b.WriteString(` "` + troffText(arg) + `"`)
	}
	t.b.WriteByte('\n')
}

// line writes a line of text.
func (t *troff) line(s string) { t.b.WriteString(troffText(s) + "\n") }

// paragraphs writes paragraphs of text.
func (t *troff) paragraphs(list ...string) {
	for i, s := range list {
		if i > 0 {
			t.macro("PP")
		}
		t.line(s)
	}
}

// item writes a term, in bold, and what it means, indented.
func (t *troff) item(term, meaning string) {
	t.macro("TP")
	t.macro("B", term)
	t.line(meaning)
}

func (t *troff) String() string { return t.b.String() }
