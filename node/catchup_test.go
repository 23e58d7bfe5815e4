package node_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// shortLog keeps so little of the log that whoever was away gets a snapshot.
func shortLog(cfg *node.Config) { cfg.LogKeep, cfg.InlineBytesMax = 10, 8<<10 }

// chain pushes n changes to main, one after the other, and gives the last one.
func chain(t *testing.T, c *nodetest.Cluster, client *nodetest.Client, from git.OID, n int) git.OID {
	t.Helper()
	for i := range n {
		size := 100
		if i%10 == 9 {
			size = 30_000
		}
		var parents []git.OID
		if !from.IsZero() {
			parents = append(parents, from)
		}
		change := sha1.File(uint64(i), size, parents...)
		mustPush(t, c, client, client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, from, change.OID)))
		from = change.OID
	}
	return from
}

// installed says whether a table was installed, by its effect: the log begins
// behind an entry that was never stored here.
func installed(t *testing.T, m *nodetest.Member, g *replica.Genesis, behind uint64) bool {
	t.Helper()
	log, err := m.Store.Log(g.Repo)
	if err != nil {
		t.Fatal(err)
	}
	first, err := log.FirstIndex()
	if err != nil {
		t.Fatal(err)
	}
	return first > behind+1
}

func lastIndex(t *testing.T, m *nodetest.Member, g *replica.Genesis) uint64 {
	t.Helper()
	log, err := m.Store.Log(g.Repo)
	if err != nil {
		t.Fatal(err)
	}
	last, err := log.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// A follower that was away for longer than the log reaches gets the table and
// its objects at once.
func TestSnapshot(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	away := c.Members[0]
	at := chain(t, c, client, git.OID{}, 5)
	c.Converge(g)
	away.Kill()
	behind := lastIndex(t, away, g)
	at = chain(t, c, client, at, 30)
	for i := range 35 { // and two that bring nothing, for each of these
		branch := fmt.Sprintf("refs/heads/b%d", i)
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Head(main, branch)))
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Head(branch, main)))
	}
	away.Start()
	c.Converge(g)
	if !installed(t, away, g, behind) {
		t.Error("the follower went through the log entry by entry, so this tests no snapshot")
	}
	chain(t, c, client, at, 3)
	c.Converge(g)
	away.Kill() // and what it installed is on its disk
	away.Start()
	c.Converge(g)
}

// A crash when the objects of a snapshot are here and its table is not.
func TestCrashBetweenObjectsAndTable(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	away := c.Members[0]
	away.Kill()
	behind := lastIndex(t, away, g)
	at := chain(t, c, client, git.OID{}, 40)
	death := away.DieAt("snapshot-objects").Arm()
	away.Start()
	<-death.Died
	death.Bury()
	if lastIndex(t, away, g) != behind {
		t.Fatal("the table was there already")
	}
	at = chain(t, c, client, at, 2)
	away.Start()
	c.Converge(g)
	if !installed(t, away, g, behind) {
		t.Error("no snapshot was installed")
	}
	chain(t, c, client, at, 2)
	c.Converge(g)
}

// The leader dies while a follower fetches the objects of its snapshot; the
// next leader's snapshot gets through.
func TestLeaderChangesWhileAFollowerFetches(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	away := c.Members[0]
	away.Kill()
	behind := lastIndex(t, away, g)
	at := chain(t, c, client, git.OID{}, 40)

	asked := make(chan struct{}, 100)
	var refuse atomic.Bool
	refuse.Store(true)
	fault := c.Net.Fault(func(o nodetest.Opening) int {
		if o.From == away.ID && o.Request.GetObjects() != nil && refuse.Load() {
			select {
			case asked <- struct{}{}:
			default:
			}
			return nodetest.Refuse
		}
		return nodetest.Pass
	})
	defer fault.Mend()
	away.Start()
	<-asked
	leader.Kill()
	next := c.Members[1]
	c.Eventually(func() string {
		if string(next.View(g).GetLeader()) != string(next.ID) {
			return "no new leader"
		}
		return ""
	})
	refuse.Store(false)
	at = chain(t, c, client, at, 20)
	c.Converge(g)
	if !installed(t, away, g, behind) {
		t.Error("no snapshot was installed")
	}
	leader.Start()
	chain(t, c, client, at, 2)
	c.Converge(g)
}

// A follower that can't get the objects tries again until it can, and meanwhile
// acknowledges nothing; fetches go to the leader, unless they ask for less.
func TestFollowerTriesAgain(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	away := c.Members[0]
	at := chain(t, c, client, git.OID{}, 1)
	c.Converge(g)
	old := at
	away.Kill()
	behind := lastIndex(t, away, g)
	at = chain(t, c, client, at, 40)
	fault := cutObjects(c.Net, away.ID)
	away.Start()
	c.Eventually(func() string {
		if string(away.View(g).GetLeader()) != string(leader.ID) {
			return "the follower does not hear the leader"
		}
		return ""
	})
	listed, err := client.List(deadline(t), away.ID, nil)
	if err != nil || listed.Welcome.GetStale() || listed.Refs[main] != at {
		t.Fatalf("a fetch at a follower that lags is not served by the leader: %v, %v", listed, err)
	}
	listed, err = client.List(deadline(t), away.ID, func(h *wire.Hello) { h.StaleOk = true })
	if err != nil || !listed.Welcome.GetStale() || listed.Refs[main] != old {
		t.Fatalf("a stale listing: %v, %v", listed, err)
	}
	for _, r := range leader.View(g).GetReplicas() {
		if string(r.GetPeer()) == string(away.ID) && (r.GetInSync() || r.GetIndex() > behind) {
			t.Errorf("counted as in sync at %d, but it has nothing behind %d", r.GetIndex(), behind)
		}
	}
	fault.Mend()
	c.Converge(g)
	if problem := away.View(g).GetProblem(); problem != "" {
		t.Error(problem)
	}
}

// Missing entries come one by one while the log reaches back, large ones with
// their payloads.
func TestCatchUpThroughTheLog(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.InlineBytesMax = 8 << 10 })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	away := c.Members[0]
	away.Kill()
	behind := lastIndex(t, away, g)
	chain(t, c, client, git.OID{}, 25)
	away.Start()
	c.Converge(g)
	if installed(t, away, g, behind) {
		t.Error("a snapshot, although the log reaches back")
	}
	for _, m := range c.Members {
		if staged := m.Staged(g); len(staged) > 0 {
			t.Errorf("left in the staging area: %s", strings.Join(staged, " "))
		}
	}
}
