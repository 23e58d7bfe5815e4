package node_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// repairing is how the tests of repair configure their nodes: a closed network
// that looks at its groups often.
func repairing(cfg *node.Config) {
	cfg.Closed, cfg.RepairEvery, cfg.LogKeep = true, 50*time.Millisecond, 8
}

// votersAre says what is not as it should be: exactly these vote, all in sync.
func votersAre(t *testing.T, g *replica.Genesis, at *nodetest.Member, want ...*nodetest.Member) func() string {
	return func() string {
		info, err := at.Node.Show(deadline(t), g.Repo)
		if err != nil {
			return err.Error()
		}
		left := map[identity.PeerID]bool{}
		for _, m := range want {
			left[m.ID] = true
		}
		for _, r := range info.Replicas {
			if r.Role != replica.Voter || !r.InSync || !left[r.Peer] {
				return fmt.Sprintf("replica %s: %s, in sync %v (%s)", r.Peer, r.Role, r.InSync, info.Plan)
			}
			delete(left, r.Peer)
		}
		if len(left) > 0 {
			return fmt.Sprintf("%d voters are missing (%s)", len(left), info.Plan)
		}
		return ""
	}
}

func configure(t *testing.T, at *nodetest.Member, g *replica.Genesis, change func(*wire.Settings)) {
	t.Helper()
	_, _, err := at.Node.Configure(deadline(t), g.Repo, func(_ node.Info, s *wire.Settings) error {
		change(s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A member is gone for longer than the grace time: another node takes its place,
// has all objects, and the group can lose one more. When the dead one comes back
// it learns that it is out, and puts its copy aside.
func TestDeadMemberIsReplaced(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 4, repairing)
	g := c.Found(node.InitOptions{On: c.IDs()[:3]})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 20)
	configure(t, c.Members[0], g, func(s *wire.Settings) { s.GraceMs = 300 })
	dead := c.Members[1]
	dead.Kill()
	c.Eventually(votersAre(t, g, c.Members[0], c.Members[0], c.Members[2], c.Members[3]))
	at = chain(t, c, client, at, 5)
	c.Converge(g, c.Members[0], c.Members[2], c.Members[3])
	c.Members[2].Kill()
	at = chain(t, c, client, at, 2)
	c.Members[2].Start()
	dead.Start()
	aside := dead.RepoDir(g) + ".removed"
	c.Eventually(func() string {
		if _, err := os.Stat(aside); err != nil {
			return err.Error()
		}
		return ""
	})
	chain(t, c, client, at, 2)
	c.Converge(g, c.Members[0], c.Members[2], c.Members[3])
	if _, err := dead.Node.Show(deadline(t), g.Repo); err != nil {
		t.Errorf("the node that is out can't find the group: %v", err)
	}
}

// A disk is wiped: the node takes a new seat, and votes under that one only.
func TestWipedMemberTakesANewSeat(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, repairing)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 20)
	wiped := c.Members[2]
	wiped.Wipe()
	wiped.Start()
	c.Eventually(votersAre(t, g, c.Members[0], c.Members...))
	info, err := c.Members[0].Node.Show(deadline(t), g.Repo)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range info.Replicas {
		if r.Peer == wiped.ID && r.RaftID <= 3 {
			t.Errorf("the wiped node is in seat %d", r.RaftID)
		}
	}
	c.Members[0].Kill()
	chain(t, c, client, at, 3)
	c.Members[0].Start()
	c.Converge(g, c.Members...)
	// Its seat holds over a restart.
	wiped.Kill()
	wiped.Start()
	c.Eventually(votersAre(t, g, c.Members[0], c.Members...))
}

// Members that leave while they are alive put their copies aside, and can be asked again.
func TestLeaversPutTheirCopiesAside(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, repairing)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 3)
	for range 2 {
		configure(t, c.Members[0], g, func(s *wire.Settings) { s.Replicas, s.On = 1, [][]byte{[]byte(c.Members[0].ID)} })
		for _, m := range c.Members[1:] {
			c.Eventually(func() string {
				if _, err := os.Stat(m.RepoDir(g)); err == nil {
					return "a node that left still has its copy"
				}
				return ""
			})
		}
		at = chain(t, c, client, at, 2)
		configure(t, c.Members[0], g, func(s *wire.Settings) { s.Replicas, s.On = 3, nil })
		c.Eventually(votersAre(t, g, c.Members[0], c.Members...))
	}
}

// The owner asks for one replica, three, five, others, and gets them, while pushes go on.
func TestReplicasAsTheOwnerWants(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 5, repairing)
	g := c.Found(node.InitOptions{On: c.IDs()[:1], Replicas: 1})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 12)
	size := func(n int) func() string {
		return func() string {
			info, err := c.Members[0].Node.Show(deadline(t), g.Repo)
			if err != nil {
				return err.Error()
			}
			for _, r := range info.Replicas {
				if r.Role != replica.Voter || !r.InSync {
					return fmt.Sprintf("%s is %s, in sync %v (%s)", r.Peer, r.Role, r.InSync, info.Plan)
				}
			}
			if len(info.Replicas) != n {
				return fmt.Sprintf("%d replicas, want %d (%s)", len(info.Replicas), n, info.Plan)
			}
			return ""
		}
	}
	for _, n := range []uint32{3, 5, 1, 3} {
		configure(t, c.Members[0], g, func(s *wire.Settings) { s.Replicas = n })
		at = chain(t, c, client, at, 3)
		c.Eventually(size(int(n)))
	}
	// The owner's own node leaves: the leader hands over first, if it is that one.
	configure(t, c.Members[0], g, func(s *wire.Settings) { s.Off = [][]byte{[]byte(c.Members[0].ID)} })
	c.Eventually(func() string {
		info, err := c.Members[0].Node.Show(deadline(t), g.Repo)
		if err != nil {
			return err.Error()
		}
		for _, r := range info.Replicas {
			if r.Peer == c.Members[0].ID || r.Role != replica.Voter || !r.InSync {
				return fmt.Sprintf("%s is %s (%s)", r.Peer, r.Role, info.Plan)
			}
		}
		return ""
	})
	chain(t, c, client, at, 3)
}

// The owner ends the repository: everybody is told so, its objects go, and a
// restart changes nothing about it.
func TestRemovedRepository(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		repairing(cfg)
		cfg.EndedAge, cfg.MaintainEvery = time.Millisecond, 20*time.Millisecond
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 12)
	if _, err := c.Members[1].Node.Remove(deadline(t), g.Repo, "not mine"); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("a stranger removes it: %v", err)
	}
	if _, err := c.Members[0].Node.Remove(deadline(t), g.Repo, "done with"); err != nil {
		t.Fatal(err)
	}
	ended := func(m *nodetest.Member) {
		t.Helper()
		if _, err := client.List(deadline(t), m.ID, nil); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_FOUND {
			t.Errorf("a listing of what was removed: %v", err)
		}
		change := sha1.File(99, 10, at)
		if done, err := client.Once(deadline(t), m.ID, client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID))); err == nil {
			t.Errorf("a push to what was removed: %v", done)
		}
		c.Eventually(func() string {
			if _, err := os.Stat(m.RepoDir(g)); !os.IsNotExist(err) {
				return fmt.Sprintf("%s is still there: %v", m.RepoDir(g), err)
			}
			return ""
		})
	}
	for _, m := range c.Members {
		ended(m)
	}
	if _, err := c.Members[0].Node.Remove(deadline(t), g.Repo, "again"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := c.Members[0].Node.Init(deadline(t), node.InitOptions{Name: "demo", On: c.IDs()}); err == nil {
		t.Error("its name was given again")
	}
	for _, m := range c.Members {
		m.Kill()
	}
	for _, m := range c.Members {
		m.Start()
	}
	c.Settle(g)
	for _, m := range c.Members {
		ended(m)
	}
}

// All who founded the group have left it. A node that knew them finds the group
// all the same.
func TestFoundersAreGone(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, repairing)
	g := c.Found(node.InitOptions{On: c.IDs()[:1], Replicas: 1})
	chain(t, c, c.Client(g), git.OID{}, 3)
	if _, err := c.Members[2].Node.Show(deadline(t), g.Repo); err != nil {
		t.Fatal(err)
	}
	configure(t, c.Members[0], g, func(s *wire.Settings) {
		s.Off = [][]byte{[]byte(c.Members[0].ID), []byte(c.Members[2].ID)}
	})
	c.Eventually(votersAre(t, g, c.Members[1], c.Members[1]))
	c.Eventually(func() string {
		if _, err := os.Stat(c.Members[0].RepoDir(g) + ".removed"); err != nil {
			return err.Error()
		}
		return ""
	})
	c.Members[0].Kill()
	c.Members[2].Kill() // and forgets what it was told, but not the genesis
	c.Members[2].Start()
	c.Eventually(votersAre(t, g, c.Members[2], c.Members[1]))
}
