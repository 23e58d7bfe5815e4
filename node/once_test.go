package node_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// points that a push passes at its leader and at a follower.
var (
	leaderPoints   = []string{"save-before", "save-after", "indexed", "staged", "stage-recorded", "proposed", "publish-before", "publish-installed", "publish-refs"}
	followerPoints = []string{"save-before", "save-after", "staged", "stage-recorded", "publish-before", "publish-installed", "publish-refs"}
)

// A process dies at each persist point in the middle of a push. The same signed
// bytes are sent again, take effect once, and give the same outcome ever after.
func TestDeathAtEveryPersistPoint(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		who    string
		victim int
		points []string
	}{{"leader", 2, leaderPoints}, {"follower", 0, followerPoints}} {
		t.Run(of.who, func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, 3, nil)
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			d := &deaths{c: c, client: client, victim: c.Members[of.victim]}
			for _, point := range of.points {
				for _, size := range []int{100, 200_000} { // in the entry, and staged
					d.at(t, point, size)
				}
			}
		})
	}
}

type deaths struct {
	c      *nodetest.Cluster
	client *nodetest.Client
	victim *nodetest.Member
	tip    git.OID
	n      uint64
}

func (d *deaths) at(t *testing.T, point string, size int) {
	c, g := d.c, d.client.Genesis
	if t.Failed() {
		return
	}
	d.victim.Stop()
	death := d.victim.DieAt(point)
	d.victim.Start()
	c.Settle(g)
	var parents []git.OID
	if d.n++; d.n > 1 {
		parents = append(parents, d.tip)
	}
	change := sha1.File(d.n, size, parents...)
	p := d.client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, d.tip, change.OID))
	death.Arm()
	first := mustPush(t, c, d.client, p)
	d.tip = change.OID
	select {
	case <-death.Died:
		death.Bury()
		d.victim.Start()
	case <-time.After(20 * nodetest.Tick): // not every push passes every point: a small one is not staged
		if death.Disarm() {
			break
		}
		death.Bury()
		d.victim.Start()
	}
	again := mustPush(t, c, d.client, p)
	if first.GetIndex() != again.GetIndex() || first.GetTerm() != again.GetTerm() {
		t.Errorf("%s, %d bytes: outcome at %d of term %d, then at %d of term %d", point, size,
			first.GetIndex(), first.GetTerm(), again.GetIndex(), again.GetTerm())
	}
	c.Converge(g)
	table, err := d.victim.Table(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range table.Refs() {
		if r.GetName() == main && (r.GetIndex() != first.GetIndex() || string(r.GetOid()) != string(change.OID.Bytes())) {
			t.Errorf("%s, %d bytes: main was set to %x by entry %d, want %s by %d", point, size,
				r.GetOid(), r.GetIndex(), change.OID, first.GetIndex())
		}
	}
}

// One ID stands for one transaction, also while both are under way.
func TestOtherBytesWithTheSameID(t *testing.T) {
	t.Parallel()
	var proposed atomic.Int32
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if point == "proposed" {
				proposed.Add(1)
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	change := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, git.OID{}, change.OID)))

	id := []byte("sixteen bytes...")
	pushes := make([]nodetest.Push, 3)
	for i := range pushes {
		branch := fmt.Sprintf("refs/heads/b%d", i)
		pushes[i] = client.Sign(1, nil, func(tx *wire.Transaction) { tx.Id = id }, nodetest.Move(branch, git.OID{}, change.OID))
	}
	sessions := make([]*nodetest.Session, len(pushes))
	for i := range sessions {
		var err error
		if sessions[i], err = client.Begin(deadline(t), leader.ID); err != nil {
			t.Fatal(err)
		}
		defer sessions[i].Close()
	}
	codes := make([]wire.Code, len(pushes))
	send := func(i int) {
		done, err := sessions[i].Push(pushes[i])
		if err != nil {
			t.Errorf("push: %v", err)
		}
		codes[i] = done.GetOutcome().GetResult().GetCode()
	}
	// Nothing commits until two of them are in the leader's log.
	proposed.Store(0)
	for _, m := range c.Others(leader) {
		c.Net.Silence(leader.ID, m.ID)
	}
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() { send(i) })
	}
	c.Eventually(func() string {
		if proposed.Load() < 2 {
			return "not both proposed"
		}
		return ""
	})
	c.Net.Heal()
	wg.Wait()
	send(2) // and one after them

	ok := 0
	listed, err := client.List(deadline(t), leader.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range codes {
		_, there := listed.Refs[fmt.Sprintf("refs/heads/b%d", i)]
		switch {
		case code == wire.Code_CODE_OK:
			ok++
		case code != wire.Code_CODE_ID_REUSED:
			t.Errorf("transaction %d ended with %s", i, code)
		}
		if there != (code == wire.Code_CODE_OK) {
			t.Errorf("transaction %d: told %s, and the ref is there: %v", i, code, there)
		}
	}
	if ok != 1 {
		t.Errorf("%d of three transactions with one ID went well", ok)
	}
	c.Converge(g)
}

// A transaction commits only within its window.
func TestExpiredTransactions(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 5)
	before := c.Members[0].View(g).GetIndex()
	for want, tx := range map[wire.FailureCode]func(*wire.Transaction){
		wire.FailureCode_FAILURE_BAD_REQUEST: func(tx *wire.Transaction) { tx.Base, tx.Window = 1, 2 },
		wire.FailureCode_FAILURE_BEHIND:      func(tx *wire.Transaction) { tx.Base = before + 1 },
	} {
		p := client.Sign(1, nil, tx, nodetest.Move("refs/heads/x", git.OID{}, at))
		done, err := client.Once(deadline(t), c.Members[0].ID, p)
		if nodetest.CodeOf(err) != want || c.Members[0].View(g).GetIndex() != before {
			t.Errorf("want %s and no entry: %v, %v", want, done, err)
		}
	}
	listed, err := client.List(deadline(t), c.Members[0].ID, nil)
	if _, there := listed.Refs["refs/heads/x"]; err != nil || there {
		t.Errorf("refs %v, %v", listed.Refs, err)
	}
}
