package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// pusher pushes one change after the other to two branches of its own, always
// both in one atomic transaction, and remembers what was acknowledged.
type pusher struct {
	*nodetest.Client
	name   string
	random *rand.Rand
	at     []identity.PeerID

	acked   git.OID
	pushes  int            // of this one
	all     *atomic.Int64  // of all
	pending *nodetest.Push // without an outcome so far
	next    git.OID        // what it leads to
}

func (p *pusher) branches() (a, b string) {
	return "refs/heads/" + p.name + "/a", "refs/heads/" + p.name + "/b"
}

// run pushes until ctx ends. What has no outcome then is pushed again, the same
// bytes, when it is run the next time.
func (p *pusher) run(ctx context.Context) error {
	for ctx.Err() == nil {
		if p.pending == nil {
			p.prepare()
		}
		done, err := p.Send(ctx, *p.pending, p.at...)
		switch {
		case err != nil && ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%s: push %d: %w", p.name, p.pushes, err)
		}
		for _, r := range append(done.GetOutcome().GetResults(), done.GetOutcome().GetResult()) {
			if r.GetCode() != wire.Code_CODE_OK {
				return fmt.Errorf("%s: push %d: %s: %s", p.name, p.pushes, r.GetCode(), r.GetDetail())
			}
		}
		p.acked, p.pending = p.next, nil
		p.pushes++
		p.all.Add(1)
	}
	return nil
}

func (p *pusher) prepare() {
	size := 100
	if p.random.IntN(3) == 0 {
		size = 40_000 // beyond what rides in the entry
	}
	var parents []git.OID
	if !p.acked.IsZero() {
		parents = append(parents, p.acked)
	}
	change := sha1.File(p.random.Uint64(), size, parents...)
	a, b := p.branches()
	push := p.Sign(1, change.Pack(sha1), func(tx *wire.Transaction) { tx.Atomic = true },
		nodetest.Move(a, p.acked, change.OID), nodetest.Move(b, p.acked, change.OID))
	p.pending, p.next = &push, change.OID
}

// check says whether a listing can be one after what this pusher saw.
func (p *pusher) check(refs map[string]git.OID) error {
	a, b := p.branches()
	if refs[a] != refs[b] {
		return fmt.Errorf("half of an atomic push: %s is %s, %s is %s", a, refs[a], b, refs[b])
	}
	if refs[a] != p.acked && (p.pending == nil || refs[a] != p.next) {
		return fmt.Errorf("%s is %s, acknowledged was %s", a, refs[a], p.acked)
	}
	return nil
}

// pushAll runs pushers until stop has returned.
func pushAll(t *testing.T, pushers []*pusher, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	errs := make([]error, len(pushers))
	var wg sync.WaitGroup
	for i, p := range pushers {
		wg.Go(func() { errs[i] = p.run(ctx) })
	}
	stop()
	cancel()
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func newPushers(c *nodetest.Cluster, client func() *nodetest.Client, n int, seed uint64) []*pusher {
	list, all := make([]*pusher, n), new(atomic.Int64)
	for i := range list {
		list[i] = &pusher{
			all: all, Client: client(), name: fmt.Sprintf("p%d", i), at: c.IDs(),
			random: rand.New(rand.NewPCG(seed, uint64(i))),
		}
	}
	return list
}

// All machines lose power at once, again and again, while several people push.
// The disks are honest: what was synced is there.
func TestPowerLoss(t *testing.T) {
	t.Parallel()
	first := 3 * seed(t)
	for seed := first; seed < first+3; seed++ {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			powerLoss(t, seed, 5)
		})
	}
}

func powerLoss(t *testing.T, seed uint64, rounds int) {
	random := rand.New(rand.NewPCG(seed, 1<<32))
	c := nodetest.New(t, 3, func(cfg *node.Config) { cfg.InlineBytesMax, cfg.LogKeep = 8<<10, 20 })
	for _, m := range c.Members {
		m.SyncTakes = 5 * time.Millisecond
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	pushers := newPushers(c, func() *nodetest.Client { return c.Client(g) }, 3, seed)
	for range rounds {
		enough := pushers[0].all.Load() + 1 + random.Int64N(8)
		pushAll(t, pushers, func() {
			for begin := time.Now(); pushers[0].all.Load() < enough && time.Since(begin) < nodetest.Patience; {
				time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond) // and then at any moment
			}
			if now := pushers[0].all.Load(); now < enough {
				t.Errorf("only %d pushes acknowledged, where %d were waited for", now, enough)
			}
			c.LosePower(random)
		})
		for _, m := range c.Members {
			m.Start()
		}
		c.Leader(g)
		c.Converge(g)
		for _, m := range c.Members {
			listed, err := pushers[0].List(deadline(t), m.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range pushers {
				if err := p.check(listed.Refs); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	t.Logf("%d pushes acknowledged, %d power losses", pushers[0].all.Load(), rounds)
	for _, p := range pushers { // and it goes on
		if p.pending == nil {
			p.prepare()
		}
		mustPush(t, c, p.Client, *p.pending)
	}
	c.Converge(g)
}
