package gitd

import (
	"errors"
	"fmt"
	"io"
	"time"

	"peer/wire"
)

// tunnel copies both ways until git has said its last word. It closes the stream.
func (s *Server) tunnel(c *conn, stream wire.Stream) error {
	c.idle = s.o.IdleTimeout
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		listen(c, stream)
	}()
	answer := &source{Reader: stream}
	_, err := io.CopyBuffer(struct{ io.Writer }{c}, answer, make([]byte, tunnelBytes))
	if err != nil {
		if answer.failed {
			err = fmt.Errorf("from the replica: %w", err)
		} else {
			err = fmt.Errorf("to the client: %w", err)
		}
		_ = stream.Reset()
		_ = c.Close()
		<-heard
		return err
	}
	// As in conn.linger: the client may still be telling what it has.
	_ = c.tcp.CloseWrite()
	timer := time.AfterFunc(lingerTimeout, func() { _ = c.Close() })
	<-heard
	timer.Stop()
	return stream.Close()
}

// listen passes on what the client says. When the client has ended in order, the
// replica may go on; when its connection broke, nobody is there to hear the rest.
func listen(c *conn, stream wire.Stream) {
	request := &source{Reader: c}
	_, err := io.CopyBuffer(struct{ io.Writer }{stream}, request, make([]byte, tunnelBytes/4))
	switch {
	case err == nil:
		_ = stream.CloseWrite()
	case request.failed:
		_ = stream.Reset()
	default: // the replica listens no more, and may have said why
		_, _ = io.Copy(io.Discard, c)
	}
}

// source remembers whether a copy failed where it reads.
type source struct {
	io.Reader
	failed bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.failed = err != nil && !errors.Is(err, io.EOF)
	return n, err
}
