package transport

import (
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"peer/identity"
	"peer/wire"
)

var errTooManyStreams = errors.New("too many streams")

// stream remembers how far it has been ended.
type stream struct {
	network.Stream
	writeClosed, ended atomic.Bool
}

var _ wire.Stream = (*stream)(nil)

func (s *stream) CloseWrite() error {
	s.writeClosed.Store(true)
	return s.Stream.CloseWrite()
}

// Close may be called again: an end is an end.
func (s *stream) Close() error {
	if s.ended.Swap(true) {
		return nil
	}
	return s.Stream.Close()
}

func (s *stream) Reset() error {
	s.ended.Store(true)
	return s.Stream.Reset()
}

// finish ends what the handler left open.
func (s *stream) finish() {
	switch {
	case s.ended.Load():
	case s.writeClosed.Load():
		s.Close()
	default:
		_ = s.Reset()
	}
}

// Handle serves protocol: h runs on a goroutine of its own for each stream
// that another host opens, and the stream ends when h returns: in order if h
// closed it, or its writing side; by a reset if not, or if h panicked. Streams
// beyond the limits are reset unseen. When the transport closes, reads and
// writes fail, and h must return.
func (t *Transport) Handle(protocol string, h func(from identity.PeerID, s wire.Stream)) {
	t.host.SetStreamHandler(t.names.protocol(protocol), func(raw network.Stream) {
		from := raw.Conn().RemotePeer()
		leave, err := t.streams.enter(from, t.isProtected(from))
		if err != nil {
			t.log.Debug("stream refused", "protocol", protocol, "peer", from.String(), "error", err)
			_ = raw.ResetWithError(network.StreamResourceLimitExceeded)
			return
		}
		defer leave()
		s := &stream{Stream: raw}
		defer s.finish()
		defer func() {
			if p := recover(); p != nil {
				_ = s.Reset()
				t.log.Error("stream handler panicked", "protocol", protocol, "peer", from.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		h(identity.PeerID(from), s)
	})
}

// streamLimits counts the handlers that run. Keys cost nothing, so a limit for each
// host is none for strangers: together they leave room for hosts that are protected.
type streamLimits struct {
	perPeer, strangers, total int

	mu      sync.Mutex
	closed  bool
	all     int
	strange int
	of      map[peer.ID]int
	idle    *sync.Cond
}

func newStreamLimits(perPeer, strangers, total int) *streamLimits {
	l := &streamLimits{perPeer: perPeer, strangers: strangers, total: total, of: make(map[peer.ID]int)}
	l.idle = sync.NewCond(&l.mu)
	return l
}

// enter gives a place to a stream, which stays what it was when its host is
// protected later, or no longer.
func (l *streamLimits) enter(id peer.ID, protected bool) (leave func(), err error) {
	strange := 1
	if protected {
		strange = 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return nil, ErrClosed
	case l.all >= l.total || l.of[id] >= l.perPeer || !protected && l.strange >= l.strangers:
		return nil, errTooManyStreams
	}
	l.all++
	l.strange += strange
	l.of[id]++
	return func() { l.leave(id, strange) }, nil
}

func (l *streamLimits) leave(id peer.ID, strange int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	l.strange -= strange
	if l.of[id]--; l.of[id] == 0 {
		delete(l.of, id)
	}
	if l.all == 0 {
		l.idle.Broadcast()
	}
}

// wait lets nobody in any more and waits for those inside.
func (l *streamLimits) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for l.all > 0 {
		l.idle.Wait()
	}
}

func (l *streamLimits) running() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all
}
