package node_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// stalled is a stream on which some bytes come, one at a time, and then nothing until
// its deadline, which takes no time here.
type stalled struct {
	wire.Stream
	left     []byte
	began    time.Time // what the deadline was when a second byte was asked for
	deadline time.Time
	read     int
	reset    bool
}

func (s *stalled) SetDeadline(t time.Time) error { s.deadline = t; return nil }
func (s *stalled) Reset() error                  { s.reset = true; return nil }

func (s *stalled) Read(p []byte) (int, error) {
	if s.read == 1 {
		s.began = s.deadline
	}
	s.read++
	if len(s.left) == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	n := copy(p[:1], s.left)
	s.left = s.left[n:]
	return n, nil
}

// Whoever opens a stream for raft's messages and stalls holds it for a while only: a
// stranger for one frame's time, however slowly its bytes come.
func TestStalledRaftStreams(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	c.Settle(c.Found(node.InitOptions{}))
	at, member := c.Members[1], c.Members[0].ID
	stranger := identity.KeyFromSeed([32]byte{77}).PeerID()
	const soon = 5 * time.Minute
	for name, tt := range map[string]struct {
		from identity.PeerID
		say  []byte
	}{
		"a stranger says nothing":          {stranger, nil},
		"a stranger says half a header":    {stranger, []byte{0, 0}},
		"a stranger says half a frame":     {stranger, append([]byte{0, 0, 1, 0}, make([]byte, 100)...)},
		"a stranger says too large a size": {stranger, []byte{0, 4, 0, 1}},
		"a member says nothing":            {member, nil},
		"a member says half a frame":       {member, append([]byte{0, 0, 1, 0}, make([]byte, 100)...)},
	} {
		t.Run(name, func(t *testing.T) {
			s := &stalled{left: tt.say}
			at.Host.Serve("raft/1", tt.from, s)
			switch {
			case !s.reset:
				t.Error("the stream is not reset")
			case s.deadline.IsZero() || time.Until(s.deadline) > soon:
				t.Errorf("it waits until %v", s.deadline)
			case tt.from == stranger && len(tt.say) > 1 && s.deadline != s.began:
				t.Errorf("its deadline moved on from %v to %v with each byte", s.began, s.deadline)
			case tt.from == stranger && len(tt.say) == 4 && s.read > len(tt.say):
				t.Error("it waits for a frame that a stranger may not send")
			}
		})
	}
}

// Strangers have few of raft's streams, each of them and all together; the oldest make
// room, so that one who opens a stream to be introduced is heard.
func TestStrangersHaveFewRaftStreams(t *testing.T) {
	t.Parallel()
	const perStranger, strangers, all = 2, 40, 64
	c := nodetest.Start(t, 3, nil)
	c.Settle(c.Found(node.InitOptions{}))
	at := c.Members[1]
	var ended atomic.Int32
	open := func(i int) {
		host := c.Net.Host(identity.KeyFromSeed([32]byte{78, byte(i)}).PeerID())
		t.Cleanup(host.Close)
		for range perStranger + 1 {
			s, err := host.Open(deadline(t), at.ID, "raft/1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Reset() })
			if _, err := s.Write([]byte{0, 0}); err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = s.Read(make([]byte, 1))
				ended.Add(1)
			}()
		}
	}
	wait := func(want int32) {
		t.Helper()
		c.Eventually(func() string {
			if got := ended.Load(); got != want {
				return fmt.Sprintf("%d streams were reset, want %d", got, want)
			}
			return ""
		})
	}
	open(0)
	wait(1)
	for i := 1; i < strangers; i++ {
		open(i)
	}
	wait(strangers*(perStranger+1) - all)
}
