package nodetest

import (
	"errors"
	"slices"
	"time"

	"peer/identity"
	"peer/wire"
)

// Opening is a stream that is about to be handed to its handler.
type Opening struct {
	From, To identity.PeerID
	Protocol string
	Request  *wire.GroupRequest // the first frame, where the protocol is group/1
}

// What a fault may do to a stream, beside cutting it after a number of bytes.
const (
	Pass   = -1
	Refuse = 0
)

// Fault decides what becomes of streams: Pass, Refuse, or after how many bytes
// to the handler they are reset.
type Fault struct {
	net   *Network
	judge func(Opening) int
}

// Fault has judge look at every stream that is opened from now on.
func (n *Network) Fault(judge func(Opening) int) *Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	f := &Fault{n, judge}
	n.faults = append(n.faults, f)
	return f
}

// Mend ends the fault.
func (f *Fault) Mend() {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	f.net.faults = slices.DeleteFunc(slices.Clone(f.net.faults), func(other *Fault) bool { return other == f })
}

var errRefused = errors.New("refused by a fault")

// faultPeek is how long a fault waits for the first frame.
const faultPeek = 5 * time.Second

// admit lets the faults judge a stream.
func admit(s *end, o Opening, faults []*Fault) (wire.Stream, error) {
	if len(faults) == 0 {
		return s, nil
	}
	var stream wire.Stream = s
	if o.Protocol == "group/1" {
		_ = s.SetDeadline(time.Now().Add(faultPeek)) // a pipe's never fails
		peeked := &replay{end: s}
		req := new(wire.GroupRequest)
		if err := wire.ReadFrame(recorder{peeked}, req, wire.RequestBytesMax); err != nil {
			return nil, err
		}
		o.Request, stream = req, peeked
	}
	for _, f := range faults {
		switch verdict := f.judge(o); verdict {
		case Pass:
		case Refuse:
			return nil, errRefused
		default:
			stream = &cutter{Stream: stream, left: verdict}
		}
	}
	return stream, nil
}

// replay is a stream of which something was read already.
type replay struct {
	*end
	seen []byte
}

func (r *replay) Read(p []byte) (int, error) {
	if len(r.seen) > 0 {
		n := copy(p, r.seen)
		r.seen = r.seen[n:]
		return n, nil
	}
	return r.end.Read(p)
}

// recorder reads ahead.
type recorder struct{ r *replay }

func (r recorder) Read(p []byte) (int, error) {
	n, err := r.r.end.Read(p)
	r.r.seen = append(r.r.seen, p[:n]...)
	return n, err
}

// cutter resets a stream after a number of bytes.
type cutter struct {
	wire.Stream
	left int
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.left <= 0 {
		_ = c.Reset()
		return 0, errReset
	}
	n, err := c.Stream.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}
