package node_test

import (
	"sync/atomic"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
)

// A leader that stood still while the others went on still believes that it leads
// when it wakes up, for its clock stood still too. It asks before it answers.
func TestFrozenLeader(t *testing.T) {
	t.Parallel()
	var frozen atomic.Pointer[identity.PeerID]
	thaw, stands := make(chan struct{}), make(chan struct{}, 64)
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		self := cfg.Key.PeerID()
		cfg.Fail = func(point string) {
			if id := frozen.Load(); point == "save-before" && id != nil && *id == self {
				stands <- struct{}{}
				<-thaw
			}
		}
	})
	g := c.Found(node.InitOptions{})
	here, there := c.Client(g), c.Client(g)
	old := c.Settle(g)
	base := chain(t, c, here, git.OID{}, 1)
	c.Converge(g)

	// It stands still in the middle of a push, and is cut off with one of the clients.
	mine, theirs := sha1.File(10, 100, base), sha1.File(11, 100, base)
	late := here.Sign(1, mine.Pack(sha1), nil, nodetest.Move("refs/heads/late", git.OID{}, mine.OID))
	session, err := here.Begin(deadline(t), old.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	frozen.Store(&old.ID)
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		_, _ = session.Push(late) // its fate is not what this is about
	}()
	select {
	case <-stands:
	case <-lost:
		t.Fatal("the push was over before its leader saved anything")
	}
	c.Net.Isolate(old.ID, here.Net.Self())
	others := c.Others(old)
	done, err := there.Send(deadline(t), there.Sign(1, theirs.Pack(sha1), nil, nodetest.Move(main, base, theirs.OID)), others[0].ID, others[1].ID)
	if err != nil {
		t.Fatalf("the others don't go on: %v, %v", done, err)
	}

	frozen.Store(nil)
	close(thaw)
	listed, err := here.List(deadline(t), old.ID, nil)
	if err == nil && !listed.Welcome.GetStale() && listed.Refs[main] != theirs.OID {
		t.Errorf("main is listed at %s, and was moved to %s before", listed.Refs[main], theirs.OID)
	}
	c.Net.Heal()
	<-lost
	c.Settle(g)
	c.Converge(g)
}
