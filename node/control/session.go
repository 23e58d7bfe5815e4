package control

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"

	"peer/node/control/pb"
	"peer/wire"
)

// closePatience is how long Close of a session waits for what was written to be
// taken over by the node.
const closePatience = 5 * time.Second

var errReset = errors.New("session was reset")

// Session opens a session with a replica through the node. It returns once the
// node has one; what keeps the node from it is an [Error].
//
// The context bounds the whole session. A deadline that passes ends the session
// for good, unlike one of a connection. Where Write fails because the other
// side has ended the session, Read still returns what it said last, and then why.
func (c *Client) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	rpc, err := c.api.Session(ctx)
	if err == nil {
		err = rpc.Send(&pb.SessionBytes{Repo: repo, Push: push})
	}
	if err == nil {
		// Headers come when there is a replica; without them the call is over.
		if md, _ := rpc.Header(); md != nil {
			s := wire.Session{Stream: &session{rpc: rpc, ctx: ctx, cancel: cancel}}
			if at := md.Get(replicaHeader); len(at) > 0 {
				s.To = []byte(at[0])
			}
			return s, nil
		}
	}
	if err == nil || errors.Is(err, io.EOF) {
		_, err = rpc.Recv()
	}
	cancel(nil)
	return wire.Session{}, fromStatus(err)
}

// session is the client's end of the call.
type session struct {
	rpc    grpc.BidiStreamingClient[pb.SessionBytes, pb.SessionBytes]
	ctx    context.Context
	cancel context.CancelCauseFunc

	reading sync.Mutex // grpc wants one reader at a time
	pending []byte     // received, and not yet read
	readErr error      // why nothing more comes; io.EOF when all has come

	writing    sync.Mutex // and one writer
	halfClosed bool

	closing  sync.Once
	closeErr error

	deadline struct {
		sync.Mutex
		timer *time.Timer
	}
}

func (s *session) Read(p []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for len(s.pending) == 0 {
		if s.readErr != nil {
			return 0, s.readErr
		}
		if len(p) == 0 {
			return 0, nil
		}
		s.receive()
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

// receive takes one message, under the reading lock.
func (s *session) receive() {
	m, err := s.rpc.Recv()
	switch {
	case errors.Is(err, io.EOF), err == nil && m.GetEnd():
		s.readErr = io.EOF
	case err != nil:
		s.readErr = s.why(err)
	default:
		s.pending = m.GetData()
	}
}

func (s *session) Write(p []byte) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.halfClosed {
		return 0, net.ErrClosed
	}
	written := 0
	for written < len(p) {
		chunk := p[written:min(len(p), written+sessionChunkBytes)]
		if err := s.rpc.Send(&pb.SessionBytes{Data: chunk}); err != nil {
			return written, s.why(err)
		}
		written += len(chunk)
	}
	return written, nil
}

// why says what err of the call means.
func (s *session) why(err error) error {
	if cause := context.Cause(s.ctx); errors.Is(cause, errReset) || errors.Is(cause, os.ErrDeadlineExceeded) || errors.Is(cause, net.ErrClosed) {
		return cause
	}
	if errors.Is(err, io.EOF) { // from Send: the call is over, and Recv knows why
		return io.ErrClosedPipe
	}
	return fromStatus(err)
}

// CloseWrite says that nothing more will be written; reading goes on.
func (s *session) CloseWrite() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.halfClosed {
		return nil
	}
	s.halfClosed = true
	if err := s.rpc.Send(&pb.SessionBytes{End: true}); err != nil {
		return s.why(err)
	}
	return nil
}

// Close returns when the node has taken over all that was written. What has not
// been read by then is dropped.
func (s *session) Close() error {
	s.closing.Do(func() {
		impatient := time.AfterFunc(closePatience, func() { s.cancel(net.ErrClosed) })
		s.writing.Lock()
		s.halfClosed = true
		_ = s.rpc.Send(&pb.SessionBytes{Closed: true}) // fails where the call is over,
		_ = s.rpc.CloseSend()                          // and drain says why
		s.writing.Unlock()
		s.closeErr = s.drain()
		impatient.Stop()
		s.cancel(net.ErrClosed)
		s.stopTimer()
	})
	return s.closeErr
}

// drain receives until the call is over.
func (s *session) drain() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.pending, s.readErr = nil, net.ErrClosed
	for {
		if _, err := s.rpc.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return s.why(err)
		}
	}
}

// Reset ends the session at once. The replica learns that it was cut short.
func (s *session) Reset() error {
	s.cancel(errReset)
	s.stopTimer()
	return nil
}

// SetDeadline ends the session at t unless it is called again before.
func (s *session) SetDeadline(t time.Time) error {
	s.deadline.Lock()
	defer s.deadline.Unlock()
	if s.deadline.timer != nil {
		s.deadline.timer.Stop()
		s.deadline.timer = nil
	}
	if !t.IsZero() {
		s.deadline.timer = time.AfterFunc(time.Until(t), func() { s.cancel(os.ErrDeadlineExceeded) })
	}
	return nil
}

func (s *session) stopTimer() { _ = s.SetDeadline(time.Time{}) }
