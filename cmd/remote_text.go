package cmd

import (
	"bytes"
	"fmt"
	"io"
)

const (
	progressLineMax = 1000    // of one line
	progressMax     = 1 << 20 // of one run; more is dropped
)

// remoteText prints what comes from the other side the way git does, behind
// "remote: ". With -q it prints nothing.
type remoteText struct {
	w       io.Writer
	options *remoteOptions
	part    []byte // of a line that has not ended
	printed int
}

// line prints one line of our own.
func (t *remoteText) line(text string) {
	if t.options.verbosity > 0 {
		t.flush()
		fmt.Fprintf(t.w, "remote: %s\n", text)
	}
}

// progress prints what a replica says, line by line. A carriage return ends a
// line that the next one overwrites.
func (t *remoteText) progress(text []byte) {
	if t.options.verbosity < 1 || t.printed+len(text) > progressMax {
		return
	}
	t.printed += len(text)
	t.part = append(t.part, text...)
	for {
		end := bytes.IndexAny(t.part, "\r\n")
		if end < 0 && len(t.part) <= progressLineMax {
			return
		}
		next := end + 1
		if end < 0 {
			end, next = progressLineMax, progressLineMax
		}
		if line := plainText(string(t.part[:end]), progressLineMax); line != "" {
			stop := byte('\n')
			if next > end {
				stop = t.part[end]
			}
			fmt.Fprintf(t.w, "remote: %s%c", line, stop)
		}
		t.part = t.part[next:]
	}
}

// flush ends a line that a replica left open.
func (t *remoteText) flush() {
	if line := plainText(string(t.part), progressLineMax); line != "" {
		fmt.Fprintf(t.w, "remote: %s\n", line)
	}
	t.part = nil
}
