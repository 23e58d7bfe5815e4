package node_test

import (
	"strings"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// replicaState is what the leader says of one member.
func replicaState(leader, of *nodetest.Member, g *replica.Genesis) *wire.ReplicaState {
	for _, r := range leader.View(g).GetReplicas() {
		if string(r.GetPeer()) == string(of.ID) {
			return r
		}
	}
	return nil
}

// A machine whose disk was replaced has the key and not the seat: it neither
// votes nor acknowledges, or two of three copies would be one.
func TestWipedFollower(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	wiped, other := c.Members[0], c.Members[1]
	at := chain(t, c, client, git.OID{}, 3)
	c.Converge(g)

	wiped.Wipe()
	wiped.Start()
	at = chain(t, c, client, at, 2)
	c.Converge(g, leader, other)
	c.Eventually(func() string {
		if r := replicaState(leader, wiped, g); r.GetInSync() {
			return "the leader counts a wiped replica as in sync"
		}
		return ""
	})
	if view, err := wiped.Node.Show(deadline(t), g.Repo); err != nil || view.Leader != leader.ID {
		t.Errorf("a wiped node can't look its repository up: %v, %v", view, err)
	}

	// With one of the two that have a seat gone, nothing commits and nobody is elected.
	term := leader.View(g).GetTerm()
	leader.Kill()
	c.Eventually(func() string {
		if len(other.View(g).GetLeader()) > 0 {
			return "the dead leader is not missed"
		}
		return ""
	})
	change := sha1.File(99, 100, at)
	p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID))
	done, err := client.Once(deadline(t), other.ID, p)
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM {
		t.Fatalf("a push with one copy: %v, %v", done, err)
	}
	if view := other.View(g); len(view.GetLeader()) > 0 || view.GetTerm() != term {
		t.Fatalf("elected by a wiped replica, in term %d after %d", view.GetTerm(), term)
	}
	leader.Start()
	mustPush(t, c, client, p)
	c.Converge(g, leader, other)
}

// A wiped machine, and repositories that are still there: the objects are no
// evidence of what the log held.
func TestWipedStore(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	chain(t, c, client, git.OID{}, 3)
	c.Converge(g)
	victim := c.Members[0]
	victim.Kill()
	backup := victim.Backup()
	victim.Wipe()
	backup.Store = victim.Store
	victim.Restore(backup)
	victim.Start()
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
	if list, err := victim.Node.Repos(deadline(t)); err != nil || len(list) != 0 {
		t.Errorf("a node without a log takes part: %v, %v", list, err)
	}
}

// A machine that was restored from an old image lost what it acknowledged. It
// finds out from the leader, says so, and takes no further part.
func TestRestoredFromABackup(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	restored, other := c.Members[0], c.Members[1]
	at := chain(t, c, client, git.OID{}, 3)
	c.Converge(g)
	restored.Stop()
	old := restored.Backup()
	restored.Start()
	at = chain(t, c, client, at, 5)
	c.Converge(g)

	restored.Restore(old)
	restored.Start()
	c.Eventually(func() string {
		if problem := restored.View(g).GetProblem(); !strings.Contains(problem, "backup") {
			return "no problem is reported: " + problem
		}
		return ""
	})
	at = chain(t, c, client, at, 2)
	c.Converge(g, leader, other)
	c.Eventually(func() string {
		if replicaState(leader, restored, g).GetInSync() {
			return "counted as in sync"
		}
		return ""
	})
	// It does not vote.
	term := leader.View(g).GetTerm()
	leader.Kill()
	change := sha1.File(99, 100, at)
	p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID))
	c.Eventually(func() string { // until the other one has noticed the death, it only says that the leader does not answer
		done, err := client.Once(deadline(t), other.ID, p)
		if err == nil {
			t.Fatalf("a push with one copy: %v", done)
		}
		if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM {
			return err.Error()
		}
		return ""
	})
	if view := other.View(g); len(view.GetLeader()) > 0 || view.GetTerm() != term {
		t.Fatalf("elected by a restored replica, in term %d after %d", view.GetTerm(), term)
	}
	// It serves what it has, as stale, and refuses pushes at once.
	_, err := client.Once(deadline(t), restored.ID, p)
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_LEADER || !strings.Contains(err.Error(), "backup") {
		t.Errorf("a push at a restored replica: %v", err)
	}
	listed, err := client.List(deadline(t), restored.ID, nil)
	if err != nil || !listed.Welcome.GetStale() {
		t.Errorf("a restored replica's listing: %v, %v", listed, err)
	}
	leader.Start()
	mustPush(t, c, client, p)
	c.Converge(g, leader, other)
}

// A seat whose nonce is another's: somebody copied a store without its seat.
func TestSeatWithAnotherNonce(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 2)
	c.Converge(g)
	victim := c.Members[0]
	victim.Stop()
	if err := victim.Store.DropSeat(g.Repo); err != nil {
		t.Fatal(err)
	}
	victim.Start()
	if problem := victim.View(g).GetProblem(); problem == "" {
		t.Error("a disk without its seat takes part")
	}
	chain(t, c, client, at, 2)
	c.Converge(g, c.Others(victim)...)
	if state := replicaState(c.Members[2], victim, g); state.GetInSync() {
		t.Errorf("counted as in sync: %v", state)
	}
}

// Two failures at once: a machine is restored from an old image, and elected by
// one that had been away. The third one, which has what those two lost, must not
// follow them, nor fall over.
func TestRestoredMemberThatWasElected(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	away, kept, restored := c.Members[0], c.Members[1], c.Members[2]
	at := chain(t, c, client, git.OID{}, 2)
	c.Converge(g)
	away.Stop()
	restored.Stop()
	old := restored.Backup()
	restored.Start()
	chain(t, c, client, at, 5)
	c.Converge(g, kept, restored)
	want, err := kept.ListRefs(g)
	if err != nil {
		t.Fatal(err)
	}

	kept.Kill()
	restored.Restore(old)
	restored.Start()
	away.Start()
	c.Leader(g)
	restored.Kill() // so that no term of the one history is one of the other
	restored.Start()
	c.Settle(g)
	other := sha1.File(50, 100, at)
	mustPush(t, c, client, client.Sign(1, other.Pack(sha1), nil, nodetest.Move(main, at, other.OID)))
	kept.Start()
	c.Eventually(func() string {
		if kept.View(g).GetProblem() == "" {
			return "no problem is reported"
		}
		return ""
	})
	if now, err := kept.ListRefs(g); err != nil || now != want {
		t.Errorf("the replica that had lost nothing now has\n%s, and had\n%s (%v)", now, want, err)
	}
}
