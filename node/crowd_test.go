package node_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// One stranger gets no more than a share of the sessions, and a polite answer
// beyond it. A fellow member that relays for several is no stranger.
func TestOneStrangerDoesNotTakeAllSessions(t *testing.T) {
	t.Parallel()
	const share = 64
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	greedy, other := c.ClientAs(strangerKey(0), g), c.ClientAs(strangerKey(1), g)
	var leave func()
	for i := range share {
		if leave = visit(t, leader, greedy.Net.Self(), greedy, false); leave == nil {
			t.Fatalf("session %d is refused", i)
		}
	}
	_, err := greedy.Begin(deadline(t), leader.ID)
	var refusal *node.FailureError
	if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_BUSY || !strings.Contains(refusal.F.GetHint(), "try again") {
		t.Errorf("one session too many: %v", err)
	}
	if visit(t, leader, other.Net.Self(), other, false) == nil {
		t.Error("nobody else gets in")
	}
	leave()
	nodetest.Eventually(t, func() string {
		s, err := greedy.Begin(deadline(t), leader.ID)
		if err != nil {
			return err.Error()
		}
		s.Close()
		return ""
	})

	follower := c.Members[0]
	if follower == leader {
		t.Fatal("the first member leads")
	}
	for range 2 { // both through one member, which brings them all to the leader
		client := c.ClientAs(strangerKey(2), g)
		for range share * 3 / 4 {
			s, err := client.Begin(deadline(t), follower.ID)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
		}
	}
}

func strangerKey(i int) identity.Key { return identity.KeyFromSeed([32]byte{79, byte(i)}) }

// patient is a stream without a deadline.
type patient struct{ wire.Stream }

func (patient) SetDeadline(time.Time) error { return nil }

// visit opens a session for a push and stays; nil means that the replica is busy.
func visit(t *testing.T, at *nodetest.Member, from identity.PeerID, user *nodetest.Client, relayed bool) (leave func()) {
	t.Helper()
	nodetest.Eventually(t, func() string {
		ours, theirs := nodetest.Pair()
		go at.Host.Serve("session/1", from, patient{theirs})
		answer := new(wire.ToClient)
		err := wire.WriteFrame(ours, &wire.OpenSession{Hello: user.Hello(wire.Intent_INTENT_PUSH, nil), Relayed: relayed})
		if err == nil {
			err = wire.ReadFrame(ours, answer, wire.ToClientBytesMax)
		}
		if answer.GetWelcome() != nil {
			leave = func() { _ = ours.Reset() }
			t.Cleanup(leave)
			return ""
		}
		_ = ours.Close()
		if answer.GetFailure().GetCode() != wire.FailureCode_FAILURE_BUSY {
			return fmt.Sprintf("neither in nor busy: %v, %v", answer, err)
		}
		return ""
	})
	return leave
}

// Keys cost nothing, so strangers leave room together, too: for this node's own user, for
// fellow members, and for people with a role.
func TestStrangersDoNotTakeAllSessions(t *testing.T) {
	t.Parallel()
	const strangers, each, all = 8, 64, 256
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	owner := c.Client(g)
	user := func(key identity.Key) *nodetest.Client { return &nodetest.Client{Key: key, Genesis: g} }
	in := 0
	for i := range strangers {
		for range each {
			if visit(t, leader, strangerKey(i).PeerID(), user(strangerKey(i)), false) != nil {
				in++
			}
		}
	}
	if in != all {
		t.Errorf("strangers have %d sessions, want %d", in, all)
	}
	fellow, elsewhere := c.Members[0], strangerKey(100)
	for name, tt := range map[string]struct {
		from    identity.PeerID
		user    identity.Key
		relayed bool
		in      bool
	}{
		"one more stranger":                       {elsewhere.PeerID(), elsewhere, false, false},
		"a stranger whom a fellow member brings":  {fellow.ID, elsewhere, true, false},
		"a stranger who says that he was brought": {elsewhere.PeerID(), elsewhere, true, false},
		"this node's own user":                    {leader.ID, elsewhere, false, true},
		"a fellow member":                         {fellow.ID, elsewhere, false, true},
		"an owner":                                {elsewhere.PeerID(), owner.Key, false, true},
		"an owner whom a fellow member brings":    {fellow.ID, owner.Key, true, true},
	} {
		if in := visit(t, leader, tt.from, user(tt.user), tt.relayed) != nil; in != tt.in {
			t.Errorf("%s is let in: %v", name, in)
		}
	}
}

// dated is a stream that notes its deadline.
type dated struct {
	wire.Stream
	deadline time.Time
}

func (d *dated) SetDeadline(t time.Time) error {
	d.deadline = t
	return d.Stream.SetDeadline(t)
}

// Hooks may take a while between a listing and its push, but only those of people whose
// push is not refused anyway.
func TestPatienceWithPushes(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	owner := c.Client(g)
	const hooks = 5 * time.Minute // far less, and far more than the rest
	for name, tt := range map[string]struct {
		key  identity.Key
		long bool
	}{"a stranger": {strangerKey(0), false}, "an owner": {owner.Key, true}} {
		user := &nodetest.Client{Key: tt.key, Genesis: g}
		nodetest.Eventually(t, func() string {
			ours, theirs := nodetest.Pair()
			in := &dated{Stream: theirs}
			if err := wire.WriteFrame(ours, &wire.OpenSession{Hello: user.Hello(wire.Intent_INTENT_PUSH, nil)}); err != nil {
				return err.Error()
			}
			_ = ours.CloseWrite() // so that the wait for a push ends at once
			leader.Host.Serve("session/1", strangerKey(0).PeerID(), in)
			answer := new(wire.ToClient)
			if err := wire.ReadFrame(ours, answer, wire.ToClientBytesMax); err != nil || answer.GetWelcome() == nil {
				return fmt.Sprintf("no listing: %v, %v", answer, err)
			}
			if long := time.Until(in.deadline) > hooks; long != tt.long {
				t.Errorf("%s may wait until %v", name, in.deadline)
			}
			return ""
		})
	}
}
