package node_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// The log says who moved what at which index, on a member and from elsewhere.
func TestLog(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 3)
	answer, err := client.Send(deadline(t), client.Sign(1, nil, nil, nodetest.Move(main, git.OID{}, at), nodetest.Head(main, "refs/heads/x")), c.IDs()...)
	if err != nil {
		t.Fatal(err)
	}
	done := answer.GetOutcome()
	c.Converge(g)
	stranger := node.NewClient(client.Key, client.Net, discardLogger())
	for name, read := range map[string]func() (node.LogView, error){
		"a member":  func() (node.LogView, error) { return c.Members[0].Node.Log(deadline(t), g.Repo, 3) },
		"elsewhere": func() (node.LogView, error) { return stranger.Log(deadline(t), g.Repo, 3) },
	} {
		v, err := read()
		if err != nil || len(v.Entries) != 3 || v.First != 2 || v.Index < done.GetIndex() {
			t.Fatalf("%s: %+v, %v", name, v, err)
		}
		last := v.Entries[2]
		owner := client.Key.Public()
		if last.GetIndex() != done.GetIndex() || string(last.GetSigner()) != string(owner[:]) || last.GetStampUnixMs() == 0 || len(last.GetChanges()) != 2 {
			t.Fatalf("%s: last entry %v", name, last)
		}
		if ref := last.GetChanges()[0]; ref.GetName() != main || ref.GetResult().GetCode() != wire.Code_CODE_STALE {
			t.Errorf("%s: the refused update is %v", name, ref)
		}
		if head := last.GetChanges()[1]; head.GetKind() != "head" || head.GetName() != "refs/heads/x" || head.GetResult().GetCode() != wire.Code_CODE_OK {
			t.Errorf("%s: HEAD is %v", name, head)
		}
		if moved := v.Entries[1].GetChanges(); len(moved) != 1 || string(moved[0].GetNew()) != string(at.Bytes()) {
			t.Errorf("%s: the push before is %v", name, moved)
		}
	}
}

// says looks for a reason.
func says(t *testing.T, m *nodetest.Member, g *replica.Genesis, want string, refuses bool) string {
	_, reasons, err := m.Node.Why(deadline(t), g.Repo)
	if err != nil {
		return err.Error()
	}
	var all []string
	for _, r := range reasons {
		if strings.Contains(r.What, want) && r.Refuses == refuses {
			return ""
		}
		all = append(all, r.What)
	}
	return strings.Join(all, "; ")
}

// Why says who leads, who is silent, and what is against a push.
func TestWhy(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	silent, asked := c.Members[1], c.Members[0]
	eventually := func(m *nodetest.Member, want string, refuses bool) {
		t.Helper()
		c.Eventually(func() string { return says(t, m, g, want, refuses) })
	}
	eventually(asked, leader.ID.String()+" leads", false)
	eventually(c.Members[1], "may not write", true) // who is not the owner
	lock, _, err := asked.Node.AcquireLock(deadline(t), g.Repo, 1<<40, "for a release", 0)
	if err != nil {
		t.Fatal(err)
	}
	if why := says(t, asked, g, "locked by", true); why == "" {
		t.Error("a lock of one's own is against a push")
	}
	if _, err := asked.Node.ReleaseLock(deadline(t), g.Repo, lock.GetToken()); err != nil {
		t.Fatal(err)
	}
	silent.Kill()
	eventually(asked, silent.ID.String()+" does not answer", false)
	leader.Kill()
	eventually(asked, "no leader: 1 of 3 replicas answer, a push needs 2", true)
}

func verified(t *testing.T, m *nodetest.Member, g *replica.Genesis, deep bool) map[identity.PeerID]node.Verdict {
	t.Helper()
	said := map[identity.PeerID]node.Verdict{}
	var mu sync.Mutex
	if err := m.Node.Verify(deadline(t), g.Repo, deep, func(v node.Verdict) error {
		mu.Lock()
		defer mu.Unlock()
		if v.Progress == "" {
			said[v.Peer] = v
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return said
}

// Verify finds nothing where all is well, and on each replica what somebody did to it.
func TestVerify(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.InlineBytesMax = 8 << 10 })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 10) // the last one is a large pack, staged
	c.Converge(g)
	for _, deep := range []bool{false, true} {
		for p, v := range verified(t, c.Members[0], g, deep) {
			if v.Err != nil || len(v.Report.GetFindings()) > 0 || v.Report.GetRefs() != 1 || v.Report.GetState().GetIndex() < 11 {
				t.Errorf("%s, deep %v: %v, %v", p, deep, v.Report, v.Err)
			}
		}
	}

	// A hand in one repository, a damaged pack in another, a third one is away.
	loose, torn, away := c.Members[0], c.Members[1], c.Members[2]
	if err := os.WriteFile(filepath.Join(loose.RepoDir(g), "refs", "heads", "mine"), []byte(at.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	damagePacks(t, torn, g)
	away.Kill()
	said := verified(t, loose, g, true)
	if f := said[loose.ID].Report.GetFindings(); len(f) != 1 || f[0].GetPart() != "refs" || !f[0].GetMended() || !strings.Contains(f[0].GetDetail(), "refs/heads/mine") {
		t.Errorf("a loose ref: %v", f)
	}
	if f := said[torn.ID].Report.GetFindings(); len(f) == 0 || f[0].GetPart() != "objects" {
		t.Errorf("a damaged pack: %v", f)
	}
	if said[away.ID].Err == nil {
		t.Errorf("who is away said %v", said[away.ID])
	}
	if f := verified(t, loose, g, true)[loose.ID].Report.GetFindings(); len(f) != 0 {
		t.Errorf("after it was put right: %v", f)
	}
	awaitWhole(c, torn, g) // whoever asks for the check need not do more
}

// wantMended has a damaged replica check itself, and waits until it is whole again.
func wantMended(t *testing.T, c *nodetest.Cluster, m *nodetest.Member, g *replica.Genesis) {
	t.Helper()
	if f := verified(t, m, g, true)[m.ID].Report.GetFindings(); len(f) == 0 {
		t.Fatal("the damage was not found")
	}
	awaitWhole(c, m, g)
}

func awaitWhole(c *nodetest.Cluster, m *nodetest.Member, g *replica.Genesis) {
	c.Eventually(func() string {
		if err := m.Fsck(g); err != nil {
			return err.Error()
		}
		return ""
	})
}

// Strangers may not have others work for them.
func TestVerifyIsNotForStrangers(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	stranger := node.NewClient(identity.KeyFromSeed([32]byte{77}), c.Client(g).Net, discardLogger())
	var refused error
	if err := stranger.Verify(deadline(t), g.Repo, true, func(v node.Verdict) error {
		refused = v.Err
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if nodetest.CodeOf(refused) != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("a stranger's question: %v", refused)
	}
}

func discardLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

// A pack of one replica is damaged. Its own check finds it, sets it aside, and
// fetches the objects from another replica; what an operator did to the refs is
// undone too.
func TestScrub(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, func(cfg *node.Config) { cfg.InlineBytesMax = 8 << 10 })
	hurt := c.Members[0]
	hurt.Configure = func(cfg *node.Config) { cfg.InlineBytesMax, cfg.ScrubEvery = 8<<10, 300*time.Millisecond }
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	chain(t, c, client, git.OID{}, 10)
	c.Converge(g)
	var mu sync.Mutex
	kinds := map[node.EventKind]int{}
	watching, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = hurt.Node.Watch(watching, func(e node.Event) error {
			mu.Lock()
			defer mu.Unlock()
			kinds[e.Kind]++
			return nil
		})
	}()
	damagePacks(t, hurt, g)
	c.Eventually(func() string {
		mu.Lock()
		defer mu.Unlock()
		if kinds[node.EventDamage] == 0 || kinds[node.EventMended] == 0 {
			return fmt.Sprint("events ", kinds)
		}
		return ""
	})
	stop()
	<-watched
	if err := hurt.Fsck(g); err != nil {
		t.Errorf("after it was mended: %v", err)
	}
	kept, err := filepath.Glob(filepath.Join(hurt.RepoDir(g), "peer", "damaged", "*", "*.pack"))
	if err != nil || len(kept) == 0 {
		t.Errorf("nothing was set aside: %v, %v", kept, err)
	}
	c.Converge(g)
}

// An index that leads beyond its pack ends git wherever it looks there, and is mended like
// any other damage.
func TestDamagedIndexIsMended(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	hurt := c.Others(c.Settle(g))[0]
	chain(t, c, client, git.OID{}, 3)
	c.Converge(g)
	indexes, err := filepath.Glob(filepath.Join(hurt.RepoDir(g), "objects", "pack", "*.idx"))
	if err != nil || len(indexes) == 0 {
		t.Fatal(indexes, err)
	}
	for _, path := range indexes {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// Version 2: a header of 8 bytes, 256 counts, then of each object its name, a checksum, and where it is.
		count := int(binary.BigEndian.Uint32(raw[8+255*4:]))
		for at := 8 + 256*4 + count*(20+4); count > 0; at, count = at+4, count-1 {
			binary.BigEndian.PutUint32(raw[at:], 1<<30)
		}
		if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	wantMended(t, c, hurt, g)
}

// A push that was listed before a branch was deleted may rest on that branch, so a
// replica that mends its objects gets those of the branch too.
func TestMendingKeepsRetiredTips(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	hurt := c.Others(c.Settle(g))[0]
	const topic = "refs/heads/topic"
	first := sha1.File(1, 100)
	branch := sha1.File(2, 100, first.OID)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	mustPush(t, c, client, client.Sign(1, branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID)))
	merge := sha1.File(3, 100, first.OID, branch.OID)
	late := client.Sign(1, merge.Pack(sha1), nil, nodetest.Move(main, first.OID, merge.OID))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(topic, branch.OID, git.OID{})))
	c.Converge(g)
	damagePacks(t, hurt, g)
	wantMended(t, c, hurt, g)
	if !hurt.Has(g, branch.OID) {
		t.Error("it called itself whole without the objects of a retired tip")
	}
	mustPush(t, c, client, late)
	c.Converge(g)
	for i, m := range c.Members {
		if err := m.Fsck(g); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}

// A replica that mends its objects is not in sync and does not lead, says so, and
// has others serve what it may lack.
func TestDamagedObjectsAreNotInSync(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	hurt := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 3)
	c.Converge(g)
	inSync := func(m *nodetest.Member) bool {
		for _, r := range m.View(g).GetReplicas() {
			if string(r.GetPeer()) == string(hurt.ID) {
				return r.GetInSync()
			}
		}
		return false
	}
	hurt.Node.SetDamaged(g.Repo, true)
	c.Eventually(func() string {
		leader := c.Leader(g)
		if leader == hurt || inSync(leader) || inSync(hurt) {
			return fmt.Sprintf("%s leads; in sync as %s sees it: %v, as itself: %v", leader.ID, leader.ID, inSync(leader), inSync(hurt))
		}
		return says(t, c.Members[0], g, "objects are damaged", false)
	})
	damagePacks(t, hurt, g)
	s, err := client.List(deadline(t), hurt.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := identity.PeerID(s.Welcome.GetPeer()); got == hurt.ID {
		t.Errorf("%s served what is damaged", got)
	}
	s.Close()
	chain(t, c, client, at, 1)
	hurt.Node.SetDamaged(g.Repo, false)
	c.Settle(g)
	c.Eventually(func() string {
		if !inSync(hurt) {
			return "not in sync again"
		}
		return ""
	})
}

// damagePacks flips a bit in every pack of a replica.
func damagePacks(t *testing.T, m *nodetest.Member, g *replica.Genesis) {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(m.RepoDir(g), "objects", "pack", "*.pack"))
	if err != nil || len(packs) == 0 {
		t.Fatal(packs, err)
	}
	for _, pack := range packs {
		raw, err := os.ReadFile(pack)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)/2] ^= 1
		if err := os.WriteFile(pack+".new", raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(pack+".new", pack); err != nil {
			t.Fatal(err)
		}
	}
}

// A watcher of one member sees the leader die, another one lead, and the dead one come back.
func TestWatchAFailover(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	var mu sync.Mutex
	var seen []string
	watching, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		_ = c.Members[0].Node.Watch(watching, func(e node.Event) error {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprint(e.Kind, " ", e.Leader, " ", e.Peer, " ", e.Detail))
			return nil
		})
	}()
	eventually := func(want string) {
		t.Helper()
		c.Eventually(func() string {
			mu.Lock()
			defer mu.Unlock()
			for _, line := range seen {
				if strings.Contains(line, want) {
					return ""
				}
			}
			return "no " + want + " in\n" + strings.Join(seen, "\n")
		})
	}
	chain(t, c, c.Client(g), git.OID{}, 1)
	eventually("commit " + leader.ID.String())
	leader.Kill()
	eventually(leader.ID.String() + " is silent") // whoever leads by then
	eventually("leader " + c.Members[1].ID.String())
	leader.Start()
	eventually(leader.ID.String() + " answers")
	stop()
	<-watched
}
