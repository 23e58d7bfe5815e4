package git

import (
	"errors"
	"fmt"
	"strings"
)

var errQuoting = errors.New("not a string as git quotes it")

var quoteLetters = map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\', '"': '"'}

// Unquote undoes git's C-style quoting of a value. What does not begin with a
// quotation mark stands for itself.
func Unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return s, nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			if i != len(s)-1 {
				return "", errQuoting
			}
			return b.String(), nil
		case '\\':
			out, width, err := unescape(s[i+1:])
			if err != nil {
				return "", err
			}
			b.WriteByte(out)
			i += width
		default:
			b.WriteByte(c)
		}
	}
	return "", errQuoting // it never ended
}

// unescape reads what follows a backslash: a letter, or three octal digits.
func unescape(s string) (c byte, width int, err error) {
	if s == "" {
		return 0, 0, errQuoting
	}
	if c, ok := quoteLetters[s[0]]; ok {
		return c, 1, nil
	}
	if len(s) < 3 || s[0] > '3' {
		return 0, 0, errQuoting
	}
	for _, d := range []byte(s[:3]) {
		if d < '0' || d > '7' {
			return 0, 0, errQuoting
		}
		c = c<<3 | (d - '0')
	}
	return c, 3, nil
}

// forceQuote writes s as git's C-style quoting does where something needs it. Bytes of
// 0x80 and above count as letters.
func forceQuote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		if letter := quoteLetter(c); letter != 0 {
			b.WriteByte('\\')
			b.WriteByte(letter)
		} else if c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, `\%03o`, c)
		} else {
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

func quoteLetter(c byte) byte {
	for letter, meaning := range quoteLetters {
		if meaning == c {
			return letter
		}
	}
	return 0
}
