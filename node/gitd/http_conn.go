package gitd

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"peer/wire"
)

// webListener counts connections as the git daemon does.
type webListener struct {
	net.Listener
	s     *HTTPServer
	crowd crowd
}

// Accept implements [net.Listener]. It goes on after a failure: most are a client that
// left early, or too many open files for the moment.
func (l *webListener) Accept() (net.Conn, error) {
	pause := time.Millisecond
	for {
		tcp, err := l.Listener.Accept()
		if l.s.ctx.Err() != nil {
			if err == nil {
				_ = tcp.Close()
			}
			return nil, http.ErrServerClosed
		}
		if err != nil {
			l.s.log.Warn("git over HTTP can't accept", "error", err)
			timer := time.NewTimer(pause)
			select {
			case <-timer.C:
			case <-l.s.ctx.Done():
			}
			timer.Stop()
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = time.Millisecond
		c := &webConn{Conn: tcp}
		from := addressOf(tcp)
		if full := l.crowd.enter(from); full != "" {
			l.turnAway(tcp, full)
			continue
		}
		c.leave = func() { l.crowd.leave(from) }
		c.unwatch = context.AfterFunc(l.s.ctx, func() { _ = tcp.Close() })
		return c, nil
	}
}

// turnAway says why in one write, and waits for nobody.
func (l *webListener) turnAway(tcp net.Conn, full string) {
	_ = tcp.SetDeadline(time.Now().Add(refuseTimeout))
	text := "peer: " + full + "\n"
	_, _ = fmt.Fprintf(tcp, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	_ = tcp.Close()
}

// webConn gives its place back when it is closed.
type webConn struct {
	net.Conn
	once    sync.Once
	leave   func()
	unwatch func() bool
}

// Close implements [net.Conn].
func (c *webConn) Close() error {
	c.once.Do(func() {
		c.unwatch()
		c.leave()
	})
	return c.Conn.Close()
}

// webWriter writes an answer while the client takes it, and at once.
type webWriter struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	idle  time.Duration
	wrote bool // the body has begun
}

func (w *webWriter) Write(p []byte) (int, error) {
	w.wrote = true
	if err := w.rc.SetWriteDeadline(time.Now().Add(w.idle)); err != nil {
		return 0, err
	}
	n, err := w.w.Write(p)
	if err == nil {
		err = w.rc.Flush()
	}
	return n, err
}

// takeBody reads all of a request, unpacked. Nothing waits for a slow client but its
// own connection. In a short one the whole has the time that otherwise each part has.
func (s *HTTPServer) takeBody(out *webWriter, r *http.Request, bytesMax int64, short bool) (*spool, error) {
	var body io.Reader = &patientBody{Reader: http.MaxBytesReader(out.w, r.Body, bytesMax), rc: out.rc, idle: s.o.IdleTimeout, once: short}
	switch encoding := r.Header.Get("Content-Encoding"); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return nil, badBody(err)
		}
		body = unpacked
	default:
		return nil, &httpError{http.StatusUnsupportedMediaType, "want Content-Encoding: gzip, or none"}
	}
	to := &spool{dir: s.o.TempDir}
	n, err := io.Copy(to, io.LimitReader(body, bytesMax+1))
	if err == nil && n > bytesMax {
		err = &http.MaxBytesError{Limit: bytesMax}
	}
	if err != nil {
		_ = to.Close()
		return nil, badBody(err)
	}
	_ = out.rc.SetReadDeadline(time.Time{})
	return to, nil
}

func badBody(err error) error {
	var large *http.MaxBytesError
	var kept *keepError
	switch {
	case errors.As(err, &kept):
		return err
	case errors.As(err, &large):
		return &httpError{http.StatusRequestEntityTooLarge, fmt.Sprintf("this request is larger than %d bytes", large.Limit)}
	}
	return &httpError{http.StatusBadRequest, "this request could not be read: it is cut, or packed badly"}
}

// patientBody waits for a client only so long.
type patientBody struct {
	io.Reader
	rc    *http.ResponseController
	idle  time.Duration
	once  bool
	begun bool
}

func (b *patientBody) Read(p []byte) (int, error) {
	if !b.once || !b.begun {
		b.begun = true
		if err := b.rc.SetReadDeadline(time.Now().Add(b.idle)); err != nil {
			return 0, err
		}
	}
	return b.Reader.Read(p)
}

// patientStream waits for a replica only so long.
type patientStream struct {
	wire.Stream
	idle time.Duration
}

func (s *patientStream) Read(p []byte) (int, error) {
	timer := time.AfterFunc(s.idle, func() { _ = s.Reset() })
	defer timer.Stop()
	return s.Stream.Read(p)
}
