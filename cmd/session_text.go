package cmd

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

const messageBytesMax = 500

// plainText makes text from outside fit for one line of a terminal: nothing in
// it can move the cursor, start a new line or write right to left. What is
// longer than bytesMax is cut.
func plainText(text string, bytesMax int) string {
	var b strings.Builder
	space := false
	for _, r := range text {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || r == utf8.RuneError {
			space = b.Len() > 0
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		if b.Len()+utf8.RuneLen(r) > bytesMax {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return b.String()
}
