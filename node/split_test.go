package node_test

import (
	"errors"
	"strings"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A leader that is cut off with some clients refuses them and names who is
// silent; what it had taken in is unknown, and settles when the split heals.
func TestMinority(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	here, there := c.Client(g), c.Client(g)
	old := c.Settle(g)
	majority := c.Others(old)
	base := chain(t, c, here, git.OID{}, 1)
	c.Converge(g)

	mine, theirs := sha1.File(10, 100, base), sha1.File(11, 100, base)
	late := here.Sign(1, mine.Pack(sha1), nil, nodetest.Move(main, base, mine.OID))
	session, err := here.Begin(deadline(t), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	c.Net.Isolate(old.ID, here.Net.Self())

	// The majority goes on, from the same old value.
	won := mustPush(t, c, there, there.Sign(1, theirs.Pack(sha1), nil, nodetest.Move(main, base, theirs.OID)))
	lost := make(chan error, 1)
	go func() {
		_, err := session.Push(late)
		lost <- err
	}()
	c.Eventually(func() string {
		if len(old.View(g).GetLeader()) > 0 {
			return "the leader of a minority does not step down"
		}
		return ""
	})

	_, err = here.Once(deadline(t), old.ID, here.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM || !namesAll(err, majority) {
		t.Errorf("a push at a minority: %v", err)
	}
	listed, err := here.List(deadline(t), old.ID, nil)
	if err != nil || !listed.Welcome.GetStale() || listed.Refs[main] != base {
		t.Errorf("a listing of a minority: main at %s, stale %v, %v", listed.Refs[main], listed.Welcome.GetStale(), err)
	}
	_, err = here.List(deadline(t), old.ID, func(h *wire.Hello) { h.SeenIndex = won.GetIndex() })
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM {
		t.Errorf("a minority serves less than its client has seen: %v", err)
	}

	err = <-lost
	failed := new(node.FailureError)
	if !errors.As(err, &failed) || failed.F.GetCode() != wire.FailureCode_FAILURE_NO_QUORUM && failed.F.GetCode() != wire.FailureCode_FAILURE_NOT_LEADER {
		t.Fatalf("the push at the old leader: %v", err)
	}
	// It was proposed, so it may commit yet: only a leader that had noticed may call it refused.
	if proposed := failed.F.GetCode() == wire.FailureCode_FAILURE_NO_QUORUM; proposed != failed.F.GetUnknown() {
		t.Errorf("the push at the old leader: %v, unknown: %v", err, failed.F.GetUnknown())
	}
	c.Net.Heal()
	done, err := here.Send(deadline(t), late, c.IDs()...)
	if err != nil || done.GetOutcome().GetResults()[0].GetCode() != wire.Code_CODE_STALE {
		t.Errorf("two leaders have both moved one ref: %v, %v", done, err)
	}
	c.Settle(g)
	c.Converge(g)
}

// A member that hears nobody, over connections that all look well, refuses a push
// and says who does not answer.
func TestMinorityOfTheSilent(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	chain(t, c, client, git.OID{}, 1)
	for _, m := range c.Others(leader) {
		c.Net.Silence(leader.ID, m.ID)
		c.Net.Silence(m.ID, leader.ID)
	}
	c.Eventually(func() string {
		if len(leader.View(g).GetLeader()) > 0 {
			return "the leader that hears nobody does not step down"
		}
		return ""
	})
	_, err := client.Once(deadline(t), leader.ID, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM || !namesAll(err, c.Others(leader)) || !strings.Contains(err.Error(), "1 of 3 replicas answer") {
		t.Errorf("a push at a minority: %v", err)
	}
	for _, r := range leader.View(g).GetReplicas() {
		if r.GetAlive() != (string(r.GetPeer()) == string(leader.ID)) {
			t.Errorf("%x is shown as alive: %v", r.GetPeer(), r.GetAlive())
		}
	}
}

func namesAll(err error, members []*nodetest.Member) bool {
	for _, m := range members {
		if err == nil || !strings.Contains(err.Error(), m.ID.String()) {
			return false
		}
	}
	return true
}

// Links that carry bytes in one direction only: the others find a leader, and
// what was acknowledged stays.
func TestOneWayCuts(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(n *nodetest.Network, leader, other identity.PeerID){
		"leader unheard": func(n *nodetest.Network, leader, other identity.PeerID) { n.Silence(leader, other) },
		"leader deaf":    func(n *nodetest.Network, leader, other identity.PeerID) { n.Silence(other, leader) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, 3, nil)
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			old := c.Settle(g)
			others := c.Others(old)
			at := chain(t, c, client, git.OID{}, 2)
			for _, m := range others {
				cut(c.Net, old.ID, m.ID)
			}
			change := sha1.File(10, 100, at)
			p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID))
			if _, err := client.Send(deadline(t), p, others[0].ID, others[1].ID); err != nil {
				t.Fatal(err)
			}
			c.Converge(g, others...)
			c.Net.Heal()
			chain(t, c, client, change.OID, 2)
			c.Settle(g)
			c.Converge(g)
		})
	}
}

// A follower that is cut off, and comes back, does not disturb the leader.
func TestReturnOfAFollower(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	away := c.Members[0]
	term := leader.View(g).GetTerm()
	c.Net.Isolate(away.ID)
	chain(t, c, client, git.OID{}, 3)
	c.Eventually(func() string {
		if len(away.View(g).GetLeader()) > 0 {
			return "still believes in a leader"
		}
		return ""
	})
	c.Net.Heal()
	c.Converge(g)
	if now := leader.View(g); now.GetTerm() != term {
		t.Errorf("term %d, and before the follower came back %d", now.GetTerm(), term)
	}
}

// A connection that breaks for a moment is no reason for an election.
func TestFlappingConnections(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	term := leader.View(g).GetTerm()
	at := git.OID{}
	for i := range 10 {
		for _, m := range c.Others(leader) {
			c.Net.Flap(leader.ID, m.ID)
		}
		next := sha1.File(uint64(i), 200_000)
		mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, at, next.OID)))
		at = next.OID
	}
	c.Converge(g)
	if now := leader.View(g); now.GetTerm() != term {
		t.Errorf("term %d after ten broken connections, before %d", now.GetTerm(), term)
	}
}
