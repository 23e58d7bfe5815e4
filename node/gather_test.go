package node_test

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

const maintainEvery = 30 * time.Millisecond

// tidy is a node that forgets at once what no ref names any more.
func tidy(cfg *node.Config) {
	cfg.GCGrace, cfg.MaintainEvery = time.Millisecond, maintainEvery
}

func packBytes(t *testing.T, m *nodetest.Member, g *replica.Genesis) (n int64) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(m.RepoDir(g), "objects", "pack"), func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// gone waits until no member that runs has the object.
func gone(c *nodetest.Cluster, g *replica.Genesis, oid git.OID) {
	c.Eventually(func() string {
		for i, m := range c.Members {
			if m.Running() && m.Has(g, oid) {
				return fmt.Sprintf("node %d still has %s", i, oid)
			}
		}
		return ""
	})
}

// A branch is deleted, and after the grace its objects leave every disk; what
// another branch reaches stays, and the same push may come again.
func TestDeletedBranchLeavesAllDisks(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"in entries": 4 << 10, "staged": 300 << 10} {
		t.Run(name, func(t *testing.T) {
			c := nodetest.Start(t, 3, func(cfg *node.Config) { tidy(cfg); cfg.InlineBytesMax = 8 << 10 })
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			c.Settle(g)
			first := sha1.File(1, 100)
			mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
			base := lastIndex(t, c.Members[0], g)
			const topic = "refs/heads/topic"
			branch := sha1.File(2, size, first.OID)
			set := client.Sign(base, branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID))
			at := mustPush(t, c, client, set).GetIndex()
			c.Converge(g)
			before := packBytes(t, c.Members[0], g)
			mustPush(t, c, client, client.Sign(at, nil, nil, nodetest.Move(topic, branch.OID, git.OID{})))
			gone(c, g, branch.OID)
			c.Converge(g)
			if after := packBytes(t, c.Members[0], g); before-after < int64(size)*9/10 {
				t.Errorf("%d bytes of packs before, %d after", before, after)
			}

			_, err := client.Send(deadline(t), client.Sign(at, nil, nil, nodetest.Move(topic, git.OID{}, branch.OID)), c.IDs()...)
			if err == nil || !strings.Contains(err.Error(), "may be gone") {
				t.Errorf("a push that rests on them: %v", err)
			}
			c.Eventually(func() string { // the floor may rise once more
				again := client.Sign(lastIndex(t, c.Members[0], g), branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID))
				if _, err := client.Send(deadline(t), again, c.IDs()...); err != nil {
					return err.Error()
				}
				return ""
			})
			c.Converge(g)
			for i, m := range c.Members {
				if !m.Has(g, branch.OID) {
					t.Errorf("node %d lacks what was pushed again", i)
				}
			}
		})
	}
}

// A push may not rest on objects that happen to lie on the leader's disk: the
// others may never have had them, or have removed them.
func TestPushRestsOnNothingElse(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	first := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	// Half of a push is refused, and its objects are in the pack of the other half.
	kept, refused := sha1.File(2, 100, first.OID), sha1.File(3, 100, first.OID)
	pack := sha1.Pack(append(kept.Objects, refused.Objects...)...)
	done, err := client.Send(deadline(t), client.Sign(2, pack, nil,
		nodetest.Move("refs/heads/a", git.OID{}, kept.OID), nodetest.Move("refs/heads/b", first.OID, refused.OID)), c.IDs()...)
	if err != nil || done.GetOutcome().GetResults()[1].GetCode() != wire.Code_CODE_STALE {
		t.Fatalf("%v, %v", done, err)
	}
	c.Converge(g)
	if leader := c.Settle(g); !leader.Has(g, refused.OID) {
		t.Fatal("the leader does not have the refused half: this test tests nothing")
	}
	base := lastIndex(t, c.Members[0], g)
	onTop := sha1.File(4, 100, refused.OID)
	for name, p := range map[string]nodetest.Push{
		"a ref":    client.Sign(base, nil, nil, nodetest.Move("refs/heads/c", git.OID{}, refused.OID)),
		"a commit": client.Sign(base, onTop.Pack(sha1), nil, nodetest.Move("refs/heads/c", git.OID{}, onTop.OID)),
	} {
		if _, err := client.Send(deadline(t), p, c.IDs()...); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a branch named that was gone by the listing may be gone everywhere soon.
	at := mustPush(t, c, client, client.Sign(base, nil, nil, nodetest.Move("refs/heads/a", kept.OID, git.OID{}))).GetIndex()
	c.Converge(g)
	late := client.Sign(at, nil, nil, nodetest.Move("refs/heads/c", git.OID{}, kept.OID))
	if _, err := client.Send(deadline(t), late, c.IDs()...); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("what a branch named that was gone by the listing: %v", err)
	}
	mustPush(t, c, client, client.Sign(at-1, nil, nil, nodetest.Move("refs/heads/d", git.OID{}, kept.OID)))
	whole := client.Sign(base, sha1.Pack(append(onTop.Objects, refused.Objects...)...), nil, nodetest.Move("refs/heads/c", git.OID{}, onTop.OID))
	mustPush(t, c, client, whole)
	c.Converge(g)
}

// A member that lags needs what an entry brought, though half of its updates were
// refused and no ref reaches that half: it stays as long as the log names it.
func TestGatherKeepsWhatTheLogNames(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) { tidy(cfg); cfg.InlineBytesMax = 8 << 10 })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	away := c.Others(leader)[0]
	first := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	const topic = "refs/heads/topic"
	branch := sha1.File(2, 100, first.OID)
	base := mustPush(t, c, client, client.Sign(1, branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID))).GetIndex()

	// A push that has begun to send its pack keeps what it may rest on.
	inFlight := sha1.File(3, 1<<20, first.OID)
	s, err := client.Begin(deadline(t), leader.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Request(client.Sign(base, inFlight.Pack(sha1), nil, nodetest.Move("refs/heads/y", git.OID{}, inFlight.OID))); err != nil {
		t.Fatal(err)
	}
	base = mustPush(t, c, client, client.Sign(base, nil, nil, nodetest.Move(topic, branch.OID, git.OID{}))).GetIndex()
	c.Converge(g)
	away.Kill()
	kept, refused := sha1.File(4, 20_000, first.OID), sha1.File(5, 20_000, first.OID)
	done, err := client.Send(deadline(t), client.Sign(base, sha1.Pack(append(kept.Objects, refused.Objects...)...), nil,
		nodetest.Move("refs/heads/a", git.OID{}, kept.OID), nodetest.Move("refs/heads/b", first.OID, refused.OID)), leader.ID)
	if err != nil || done.GetOutcome().GetResults()[1].GetCode() != wire.Code_CODE_STALE {
		t.Fatalf("%v, %v", done, err)
	}
	if !leader.Has(g, branch.OID) {
		t.Error("what a push in flight may rest on is gone")
	}
	if err := s.Close(); err != nil {
		t.Log(err)
	}
	gone(c, g, branch.OID)
	if !leader.Has(g, refused.OID) {
		t.Fatal("what an entry of the log names is gone, and a member lags behind that entry")
	}
	away.Start()
	c.Converge(g)
}

// A crash between the new pack and the removal of the old ones loses nothing, and
// the next life removes them.
func TestDeathBetweenPacks(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, tidy)
	victim := c.Members[0]
	death := victim.DieAt("gathered").Arm()
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	first := sha1.File(1, 100)
	branch := sha1.File(2, 5000, first.OID)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	at := mustPush(t, c, client, client.Sign(2, branch.Pack(sha1), nil, nodetest.Move("refs/heads/x", git.OID{}, branch.OID))).GetIndex()
	mustPush(t, c, client, client.Sign(at, nil, nil, nodetest.Move("refs/heads/x", branch.OID, git.OID{})))
	select {
	case <-death.Died:
		death.Bury()
	case <-time.After(nodetest.Patience):
		t.Fatal("the node never came to the point")
	}
	if !victim.Has(g, branch.OID) || !victim.Has(g, first.OID) {
		t.Error("packs went before the crash")
	}
	if err := victim.Fsck(g); err != nil {
		t.Errorf("after the crash: %v", err)
	}
	victim.Start()
	gone(c, g, branch.OID)
	c.Converge(g)
}

// Whoever began to clone before objects went gets them all, however long it takes.
func TestGatherWaitsForClones(t *testing.T) {
	t.Parallel()
	gathered := make(chan struct{}, 100)
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		tidy(cfg)
		cfg.Fail = func(point string) {
			if point == "gathered" {
				gathered <- struct{}{}
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	member := c.Settle(g)
	first := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	const topic = "refs/heads/topic"
	branch := sha1.File(2, 1<<20, first.OID)
	at := mustPush(t, c, client, client.Sign(2, branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID))).GetIndex()

	slow, err := client.Open(deadline(t), member.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if err := slow.Greet(wire.Intent_INTENT_FETCH, nil); err != nil {
		t.Fatal(err)
	}
	mustPush(t, c, client, client.Sign(at, nil, nil, nodetest.Move(topic, branch.OID, git.OID{})))
	select { // the pack of what stays is there, beside those of the pushes
	case <-gathered:
	case <-time.After(nodetest.Patience):
		t.Fatal("nothing was gathered")
	}
	time.Sleep(10 * maintainEvery) // a node that does not wait has removed them by then
	pack, err := slow.FetchPack(branch.OID)
	if err != nil || len(pack) < 1<<20 {
		t.Errorf("a clone that began before got %d bytes: %v", len(pack), err)
	}
	if err := slow.Close(); err != nil {
		t.Log(err)
	}
	gone(c, g, branch.OID)
	c.Converge(g)
}
