package nodetest

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"peer/wire"
)

// errReset is what both ends of a stream that was reset see.
var errReset = errors.New("stream was reset")

// errClosed is what the end that closed a stream sees.
var errClosed = errors.New("stream was closed here")

// windowBytes is what may be on its way in one direction of a stream.
const windowBytes = 256 << 10

// bell wakes all who wait for a change.
type bell struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// Pair makes a stream that belongs to no network, for handing one end to a handler.
func Pair() (a, b wire.Stream) {
	x, y := pipe(new(link), new(link))
	return x, y
}

// half is one direction of a stream.
type half struct {
	link *link // the direction of the connection that it belongs to
	bell bell

	mu        sync.Mutex
	buf       []byte
	coming    []arrival // of what is in buf, in order
	ended     bool      // nothing more will be written
	reset     bool      // the end is not in order
	discarded bool      // nobody will read
}

// arrival is when a number of bytes can be read.
type arrival struct {
	bytes int
	at    time.Time
}

// wait is how long nothing can be read yet. The caller holds mu.
func (h *half) wait() time.Duration {
	if len(h.coming) == 0 {
		return 0
	}
	return time.Until(h.coming[0].at)
}

// take reads what has arrived. The caller holds mu.
func (h *half) take(p []byte) int {
	n := len(p)
	if len(h.coming) > 0 {
		n = min(n, h.coming[0].bytes)
		if h.coming[0].bytes -= min(n, len(h.buf)); h.coming[0].bytes == 0 {
			h.coming = h.coming[1:]
		}
	}
	n = copy(p[:n], h.buf)
	h.buf = h.buf[n:]
	return n
}

// end is one end of a stream.
type end struct {
	in, out *half
	// gone is called once, when this end is closed or reset.
	gone func()

	bell     bell // rung when the fields below change
	mu       sync.Mutex
	deadline time.Time
	err      error // why this end no longer reads nor writes
}

var _ wire.Stream = (*end)(nil)

// pipe makes a stream between two hosts.
func pipe(ab, ba *link) (a, b *end) {
	x, y := &half{link: ab}, &half{link: ba}
	return &end{in: y, out: x, gone: func() {}}, &end{in: x, out: y, gone: func() {}}
}

// await calls ready until it says that it is done, the deadline passes or this
// end is closed.
func (e *end) await(h *half, ready func() (int, error, bool)) (int, error) {
	for {
		changed, mended, mine := h.bell.wait(), h.link.bell.wait(), e.bell.wait()
		e.mu.Lock()
		err, deadline := e.err, e.deadline
		e.mu.Unlock()
		if err != nil {
			return 0, err
		}
		if n, err, done := ready(); done {
			return n, err
		}
		left := time.Hour
		if !deadline.IsZero() {
			left = time.Until(deadline)
		}
		if left <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		h.mu.Lock()
		if coming := h.wait(); coming > 0 {
			left = min(left, coming)
		}
		h.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-changed:
		case <-mended:
		case <-mine:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// Read implements [io.Reader].
func (e *end) Read(p []byte) (int, error) {
	h := e.in
	return e.await(h, func() (int, error, bool) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case h.link.silent():
			return 0, nil, false
		case h.reset:
			return 0, errReset, true
		case len(h.buf) > 0 && h.wait() > 0:
			return 0, nil, false
		case len(h.buf) > 0:
			n := h.take(p)
			h.bell.ring()
			return n, nil, true
		case h.ended:
			return 0, io.EOF, true
		}
		return 0, nil, len(p) == 0
	})
}

// Write implements [io.Writer].
func (e *end) Write(p []byte) (int, error) {
	h, written := e.out, 0
	for written < len(p) {
		n, err := e.await(h, func() (int, error, bool) {
			h.mu.Lock()
			defer h.mu.Unlock()
			room := windowBytes - len(h.buf)
			switch {
			case h.ended:
				return 0, errClosed, true
			case h.reset:
				return 0, errReset, true
			case h.discarded:
				return len(p) - written, nil, true
			case room <= 0:
				return 0, nil, false
			}
			part := p[written:min(len(p), written+room)]
			h.buf = append(h.buf, part...)
			if delay := h.link.takes(); delay > 0 || len(h.coming) > 0 {
				h.coming = append(h.coming, arrival{len(part), time.Now().Add(delay)})
			}
			h.bell.ring()
			return len(part), nil, true
		})
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

func (e *end) CloseWrite() error {
	e.out.mu.Lock()
	e.out.ended = true
	e.out.mu.Unlock()
	e.out.bell.ring()
	return nil
}

// Close ends the stream in order: the other side still gets what was written.
func (e *end) Close() error {
	_ = e.CloseWrite()
	e.in.mu.Lock()
	e.in.discarded, e.in.buf, e.in.coming = true, nil, nil
	e.in.mu.Unlock()
	e.in.bell.ring()
	e.stop(errClosed)
	return nil
}

func (e *end) Reset() error {
	for _, h := range []*half{e.in, e.out} {
		h.mu.Lock()
		h.reset, h.buf, h.coming = true, nil, nil
		h.mu.Unlock()
		h.bell.ring()
	}
	e.stop(errReset)
	return nil
}

// finish ends what a handler left open, as the transport does: in order if it
// had closed its writing side, by a reset if not.
func (e *end) finish() {
	e.mu.Lock()
	stopped := e.err != nil
	e.mu.Unlock()
	e.out.mu.Lock()
	ended := e.out.ended
	e.out.mu.Unlock()
	switch {
	case stopped:
	case ended:
		_ = e.Close()
	default:
		_ = e.Reset()
	}
}

func (e *end) stop(err error) {
	e.mu.Lock()
	first := e.err == nil
	if first {
		e.err = err
	}
	e.mu.Unlock()
	e.bell.ring()
	if first {
		e.gone()
	}
}

func (e *end) SetDeadline(t time.Time) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.deadline = t
	e.bell.ring()
	return nil
}
