package git

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// serveV2 follows version 2: the server speaks first, up to a flush; from then on
// each request is answered, up to a flush each, before the next is read. So one
// goroutine serves both directions, and knows which of them it waits for.
func (s *server) serveV2(in io.Reader, out io.Writer) error {
	client := NewPktReader(in)
	to := bufio.NewWriterSize(out, pktHeaderBytes+PktPayloadMax)
	if err := s.passResponse(to); err != nil {
		return err
	}
	for {
		request, err := readCommand(client)
		if errors.Is(err, io.EOF) || err == nil && request.bye {
			return s.bye(request.raw, to)
		}
		if err != nil {
			return fmt.Errorf("from client: %w", err)
		}
		if request.lists {
			err = s.listRefs(request, client, out)
		} else {
			err = s.forward(request, client, to)
		}
		if err != nil {
			return err
		}
	}
}

// bye ends the child in good order, as the client has.
func (s *server) bye(last []byte, to *bufio.Writer) error {
	if _, err := s.stdin.Write(last); err != nil {
		return nil // it has ended already
	}
	_ = s.stdin.Close()
	_, err := io.Copy(to, s.child.rest())
	return errors.Join(err, to.Flush())
}

// request is the beginning of one, held back until it is clear what it is.
type request struct {
	raw   []byte
	lists bool // it asks for refs
	bye   bool // it is the lone flush that ends the conversation
	whole bool // raw ends with its flush; otherwise arguments follow
}

// readCommand reads the command and its capabilities. They may come in any
// order, so all of them are read before anything is passed on.
func readCommand(client *PktReader) (request, error) {
	var q request
	for {
		pkt, err := client.Next()
		if err != nil {
			if errors.Is(err, io.EOF) && len(q.raw) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return q, err
		}
		q.raw = append(q.raw, pkt.Raw...)
		if len(q.raw) > commandBytesMax {
			return q, errors.New("request with too many capabilities")
		}
		switch pkt.Kind {
		case PktFlush:
			q.whole = true
			q.bye = len(q.raw) == pktHeaderBytes
			return q, nil
		case PktDelim:
			return q, nil
		case PktData:
			line, _, _ := bytes.Cut(pkt.Payload(), []byte{0}) // as C reads it
			line = bytes.TrimSuffix(line, []byte("\n"))
			q.lists = q.lists || bytes.Equal(line, []byte("command=ls-refs"))
		}
	}
}

// listRefs takes in the whole request before it takes the gate, and the whole
// answer before it lets the client have it.
func (s *server) listRefs(q request, client *PktReader, out io.Writer) error {
	for !q.whole {
		pkt, err := client.Next()
		if err != nil {
			return fmt.Errorf("from client: %w", noEOF(err))
		}
		q.raw = append(q.raw, pkt.Raw...)
		if len(q.raw) > lsRefsBytesMax {
			return fmt.Errorf("request to list refs is larger than %d bytes", lsRefsBytesMax)
		}
		q.whole = pkt.Kind == PktFlush
	}
	s.gate.RLock()
	wrote := make(chan struct{})
	go func() { // beside the reading, whose deadline ends this too
		defer close(wrote)
		_, _ = s.stdin.Write(q.raw) // a child that stopped reading says why
	}()
	err := s.passListing(out)
	if err != nil {
		s.p.kill()
	}
	<-wrote
	return err
}

// forward passes on any other request, as it comes, and its answer.
func (s *server) forward(q request, client *PktReader, to *bufio.Writer) error {
	in := bufio.NewWriterSize(s.stdin, 64<<10)
	_, werr := in.Write(q.raw)
	for !q.whole && werr == nil {
		if !client.ready() {
			werr = in.Flush()
		}
		pkt, err := client.Next()
		if err != nil {
			return fmt.Errorf("from client: %w", noEOF(err))
		}
		if werr == nil {
			_, werr = in.Write(pkt.Raw)
		}
		q.whole = pkt.Kind == PktFlush
	}
	if werr == nil {
		// A child that stopped reading has said why, or its exit code will.
		_ = in.Flush()
	}
	return s.passResponse(to)
}

// passResponse passes on lines up to and including a flush, or up to the child's
// end.
func (s *server) passResponse(to *bufio.Writer) error {
	return passResponse(s.child, to, "git", "client", nil)
}

// passResponse is errChildEnded where the lines end without a flush. A line that check
// refuses, where there is one, is not passed on, nor is what follows.
func passResponse(from *PktReader, to *bufio.Writer, source, sink string, check func(Pkt) error) error {
	for {
		pkt, err := from.Next()
		if errors.Is(err, io.EOF) {
			return errors.Join(to.Flush(), errChildEnded)
		}
		if err != nil {
			return errors.Join(to.Flush(), fmt.Errorf("from %s: %w", source, err))
		}
		if check != nil {
			if err := check(pkt); err != nil {
				return errors.Join(to.Flush(), err)
			}
		}
		if _, err := to.Write(pkt.Raw); err != nil {
			return fmt.Errorf("to %s: %w", sink, err)
		}
		flush := pkt.Kind == PktFlush
		if flush || !from.ready() {
			if err := to.Flush(); err != nil {
				return fmt.Errorf("to %s: %w", sink, err)
			}
		}
		if flush {
			return nil
		}
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
