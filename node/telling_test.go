package node_test

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A replica that needs long says what for: a client takes one that says nothing for
// dead, and sends everything again.
func TestPusherIsToldWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	told := map[string]chan struct{}{"indexed": make(chan struct{}), "replicated": make(chan struct{}), "proposed": make(chan struct{})}
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if wait := told[point]; wait != nil {
				<-wait
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	change := sha1.File(1, 1<<20)
	s, err := client.Begin(deadline(t), c.Members[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Request(client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, git.OID{}, change.OID))); err != nil {
		t.Fatal(err)
	}
	if err := s.SendPack(change.Pack(sha1)); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []struct{ point, says string }{
		{"indexed", "indexing and checking the pack\n"},
		{"replicated", "holds the pack\n"},
		{"proposed", "acknowledges the push\n"},
	} {
		m, err := s.Next()
		if err != nil || !strings.HasSuffix(string(m.GetProgress().GetText()), wait.says) {
			t.Errorf("at %s: %v, %v", wait.point, m, err)
		}
		close(told[wait.point])
	}
	if done, err := s.Done(); err != nil || done.GetOutcome() == nil {
		t.Errorf("%v, %v", done, err)
	}
}

// lateStream is a stream on which the replica has been busy for long when it has read
// something: the deadline that it read under is over by then.
type lateStream struct {
	wire.Stream
	begun, late atomic.Bool
}

func (s *lateStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	s.late.Store(s.begun.Load())
	return n, err
}

func (s *lateStream) SetDeadline(at time.Time) error {
	s.late.Store(false)
	return s.Stream.SetDeadline(at)
}

func (s *lateStream) Write(p []byte) (int, error) {
	if s.late.Load() {
		return 0, os.ErrDeadlineExceeded
	}
	return s.Stream.Write(p)
}

// However long indexing takes, who pushed hears that it is committed.
func TestOutcomeAfterALongSilence(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader, client := c.Settle(g), c.Client(g)
	ours, theirs := nodetest.Pair()
	t.Cleanup(func() { _ = ours.Reset() })
	slow := &lateStream{Stream: theirs}
	go leader.Host.Serve("session/1", client.Net.Self(), slow)
	next := func(wanted func(*wire.ToClient) bool) *wire.ToClient {
		t.Helper()
		for {
			m := new(wire.ToClient)
			if err := wire.ReadFrame(ours, m, wire.ToClientBytesMax); err != nil || m.GetFailure() != nil {
				t.Fatal(m, err)
			}
			if wanted(m) {
				return m
			}
		}
	}
	say := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	say(wire.WriteFrame(ours, &wire.OpenSession{Hello: client.Hello(wire.Intent_INTENT_PUSH, nil)}))
	next(func(m *wire.ToClient) bool { return m.GetRefs().GetDone() })
	first := sha1.File(1, 100)
	p := client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID))
	say(wire.WriteFrame(ours, &wire.PushRequest{Transaction: p.Signed, HasPack: true}))
	next(func(m *wire.ToClient) bool { return m.GetGo() != nil })
	slow.begun.Store(true)
	say(wire.WriteChunk(ours, p.Pack))
	say(wire.WriteChunk(ours, nil))
	done := next(func(m *wire.ToClient) bool { return m.GetDone() != nil }).GetDone()
	if code := done.GetOutcome().GetResult().GetCode(); code != wire.Code_CODE_OK {
		t.Errorf("the outcome is %v", code)
	}
}
