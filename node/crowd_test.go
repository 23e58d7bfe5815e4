package node_test

import (
	"errors"
	"strings"
	"testing"

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
	greedy, other := c.Client(g), c.Client(g)
	hold := func(client *nodetest.Client, n int, at *nodetest.Member) (held []*nodetest.Session) {
		t.Helper()
		for range n {
			s, err := client.Begin(deadline(t), at.ID)
			if err != nil {
				t.Fatalf("session %d: %v", len(held), err)
			}
			t.Cleanup(func() { s.Close() })
			held = append(held, s)
		}
		return held
	}
	held := hold(greedy, share, leader)
	_, err := greedy.Begin(deadline(t), leader.ID)
	var refusal *node.FailureError
	if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_BUSY || !strings.Contains(refusal.F.GetHint(), "try again") {
		t.Errorf("one session too many: %v", err)
	}
	hold(other, 1, leader)
	if err := held[0].Reset(); err != nil {
		t.Fatal(err)
	}
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
		hold(c.Client(g), share*3/4, follower)
	}
}
