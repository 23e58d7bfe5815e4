package git

import (
	"bytes"
	"fmt"
)

// A BreachError says that a server sent what no upload-pack would.
type BreachError struct{ Why string }

func (e *BreachError) Error() string { return e.Why }

func breach(format string, args ...any) error { return &BreachError{fmt.Sprintf(format, args...)} }

// fetchWants is what a request to fetch asks for, as far as the answer may tell of it.
type fetchWants struct {
	shallow bool // git's own history is cut already
	deepen  bool // the history is to be cut
}

func (w *fetchWants) note(pkt Pkt) {
	if pkt.Kind == PktData {
		w.shallow = w.shallow || bytes.HasPrefix(pkt.Payload(), []byte("shallow "))
		w.deepen = w.deepen || bytes.HasPrefix(pkt.Payload(), []byte("deepen"))
	}
}

// section is a part of an answer to a fetch.
type section uint8

const (
	noSection       section = iota // a header is next
	acknowledgments                // which commits are common
	shallowInfo                    // where the history is cut
	packfile
)

// fetchAnswer reads along as a server answers a fetch. Git asks for few sections, and takes
// more of them: wanted-refs sets the refs that it fetches, packfile-uris has it load
// URLs, shallow-info cuts the history. So what git did not ask for is refused, and so is
// what git would take for the end of the answer before it is: the rest would answer its
// next request.
type fetchAnswer struct {
	wants    fetchWants
	in, last section
}

// check judges the next line.
func (a *fetchAnswer) check(pkt Pkt) error {
	if a.in == packfile {
		// Git takes any empty line for the flush at the end.
		if pkt.Kind == PktFlush || pkt.Kind == PktData && len(pkt.Payload()) > 0 {
			return nil
		}
		return breach("the server sends a pack with %q in it", pkt.Raw)
	}
	switch {
	case pkt.Kind == PktData && bytes.HasPrefix(pkt.Payload(), []byte("ERR ")):
		return nil // git says so, and ends
	case a.in == noSection:
		return a.begin(pkt)
	case pkt.Kind == PktDelim:
		a.in = noSection
		return nil
	case pkt.Kind == PktFlush && a.in == acknowledgments:
		return nil
	case pkt.Kind != PktData:
		return breach("the server's answer to a fetch ends early, with %q", pkt.Raw)
	case a.in == shallowInfo && !a.wants.deepen:
		return breach("the server cuts the history, which git did not ask for: %.100q", pkt.Payload())
	}
	return nil
}

// begin takes the header of a section.
func (a *fetchAnswer) begin(pkt Pkt) error {
	if pkt.Kind != PktData {
		return breach("the server's answer to a fetch ends early, with %q", pkt.Raw)
	}
	header := bytes.TrimSuffix(pkt.Payload(), []byte("\n"))
	switch {
	case bytes.Equal(header, []byte("acknowledgments")):
		a.in = acknowledgments
	case bytes.Equal(header, []byte("shallow-info")) && (a.wants.shallow || a.wants.deepen):
		a.in = shallowInfo
	case bytes.Equal(header, []byte("packfile")):
		a.in = packfile
	default:
		return breach("the server answers a fetch with %.100q, which git did not ask for", header)
	}
	if a.in <= a.last {
		return breach("the server answers a fetch with %.100q twice, or out of order", header)
	}
	a.last = a.in
	return nil
}
