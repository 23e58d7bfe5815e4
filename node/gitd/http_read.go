package gitd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"peer/git"
	"peer/identity"
	"peer/wire"
)

// read lists, or fetches: git speaks on a stream as it does over git://, and what of
// that is no part of this answer is left out.
func (s *HTTPServer) read(ctx context.Context, cancel context.CancelCauseFunc, out *webWriter, r *http.Request, q webRequest, repo identity.Address) error {
	var body *spool
	asks := &asks{end: -1}
	if !q.listing {
		var err error
		if body, err = s.takeBody(out, r, fetchBytesMax, true); err != nil {
			return err
		}
		defer body.Close()
		if q.version < newestVersion {
			if err := asks.read(body.open()); err != nil {
				return &httpError{http.StatusBadRequest, "this is no request of git's"}
			}
		}
	}
	stream, err := opening(cancel, func() (wire.Stream, error) {
		return s.o.Backend.Open(ctx, repo, q.service, q.version)
	})
	if err != nil {
		return err
	}
	defer func() { _ = stream.Reset() }() // whatever git has to say after this is for nobody
	// A replica that says nothing is not waited for longer than a client.
	in := &patientStream{Stream: stream, idle: s.o.IdleTimeout}
	if q.listing {
		out.begin(q)
		lines := bufio.NewWriterSize(out, tunnelBytes) // each would be a packet otherwise
		if err := copyToFlush(lines, in); err != nil {
			return &brokenError{fmt.Errorf("list: %w", err)}
		}
		if err := lines.Flush(); err != nil {
			return &brokenError{fmt.Errorf("list: %w", err)}
		}
		return nil
	}
	if err := copyToFlush(io.Discard, in); err != nil { // the client has heard the listing before
		return fmt.Errorf("list: %w", err)
	}
	out.begin(q)
	if err := asks.converse(out, in, body.open()); err != nil {
		return &brokenError{err}
	}
	return nil
}

// converse passes on a request, and the answer to it. The stream is of no use after it.
func (a *asks) converse(out io.Writer, in *patientStream, request io.Reader) error {
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, err := io.CopyBuffer(struct{ io.Writer }{in}, struct{ io.Reader }{request}, make([]byte, tunnelBytes/4))
		if err == nil && a.end < 0 {
			_ = in.CloseWrite()
		} // a replica that listens no more may have said why
	}()
	defer func() {
		_ = in.Reset()
		<-sent
	}()
	if a.end >= 0 {
		return a.copyAnswer(out, in)
	}
	_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, tunnelBytes))
	return err
}

// copyToFlush copies pkt-lines up to the first flush, and that.
func copyToFlush(w io.Writer, r io.Reader) error {
	buf := make([]byte, pktHeaderBytes+git.PktPayloadMax)
	for {
		line, err := readPkt(r, buf)
		if err != nil {
			return noEOF(err)
		}
		if line == nil {
			_, err = io.WriteString(w, git.FlushPkt)
			return err
		}
		if _, err := w.Write(buf[:pktHeaderBytes+len(line)]); err != nil {
			return err
		}
	}
}

// asks is what a request of versions 0 and 1 waits for. In these a client may stop in
// the middle of a negotiation and go on with its next request, where git, which knows
// nothing of requests, waits for more. So somebody has to know where an answer ends.
type asks struct {
	shallow bool // the answer begins with what becomes shallow, up to a flush
	many    bool // each round is answered with NAK at its end, whatever came before
	end     int  // how many rounds there are; negative: all that git has to say
}

// read finds out, as upload-pack reads.
func (a *asks) read(r io.Reader) error {
	buf := make([]byte, pktHeaderBytes+git.PktPayloadMax)
	wanted := false
	for rounds := -1; ; {
		line, err := readPkt(r, buf)
		switch {
		case errors.Is(err, io.EOF):
			if rounds >= 0 {
				a.end = rounds
			}
			return nil // before any flush: git refuses what this is, in its own words
		case err != nil:
			return err
		case line == nil:
			if !wanted {
				return nil // nothing is wanted, so git says nothing
			}
			rounds++
			continue
		}
		text := strings.TrimSuffix(string(line), "\n")
		switch {
		case rounds < 0 && strings.HasPrefix(text, "want "):
			if !wanted {
				a.many = strings.Contains(text, " multi_ack")
			}
			wanted = true
		case rounds < 0 && strings.HasPrefix(text, "deepen"):
			a.shallow = true
		case text == "done":
			a.end = -1
			return nil
		}
	}
}

// copyAnswer copies what git answers.
func (a *asks) copyAnswer(w io.Writer, r io.Reader) error {
	if a.shallow {
		if err := copyToFlush(w, r); err != nil {
			return err
		}
	}
	buf := make([]byte, pktHeaderBytes+git.PktPayloadMax)
	for rounds := 0; rounds < a.end; {
		line, err := readPkt(r, buf)
		if err != nil {
			return noEOF(err)
		}
		if _, err := w.Write(buf[:pktHeaderBytes+len(line)]); err != nil {
			return err
		}
		switch {
		case bytes.HasPrefix(line, []byte("NAK")):
			rounds++
		case bytes.HasPrefix(line, []byte("ACK ")) && !a.many:
			return nil // the one thing that is in common ends it
		case bytes.HasPrefix(line, []byte("ERR ")):
			return nil
		}
	}
	return nil
}

// begin says what kind of answer comes.
func (w *webWriter) begin(q webRequest) {
	kind := "application/x-" + string(q.service) + "-result"
	if q.listing {
		kind = "application/x-" + string(q.service) + "-advertisement"
	}
	w.w.Header().Set("Content-Type", kind)
	w.w.WriteHeader(http.StatusOK)
	if q.listing && (q.version < newestVersion || q.service == ReceivePack) {
		_, _ = w.Write(append(git.AppendPkt(nil, []byte("# service="+string(q.service)+"\n")), git.FlushPkt...)) // the next write says so too
	}
}
