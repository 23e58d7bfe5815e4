package node_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A call is what a client did to one ref: read it, or swap it.
type call struct {
	read     bool
	old, new git.OID
}

// result is what it was told.
type result struct {
	value   git.OID // of a read
	ok      bool    // of a swap
	unknown bool    // nobody told it: the swap may happen at any time, or never
}

// register is one ref as everybody should see it.
var register = porcupine.Model{
	Init: func() any { return git.OID{} },
	Step: func(state, input, output any) (bool, any) {
		now, in, out := state.(git.OID), input.(call), output.(result)
		switch {
		case in.read:
			return out.value == now, now
		case out.unknown && in.old != now: // never, if it comes last
			return true, now
		case out.unknown:
			return true, in.new
		case out.ok:
			return in.old == now, in.new
		}
		return in.old != now, now
	},
	DescribeOperation: func(input, output any) string {
		in, out := input.(call), output.(result)
		if in.read {
			return fmt.Sprintf("read %.8s", out.value)
		}
		return fmt.Sprintf("%.8s -> %.8s: ok %v, unknown %v", in.old, in.new, out.ok, out.unknown)
	},
}

// history is what all clients did, for each ref.
type history struct {
	mu    sync.Mutex
	begin time.Time
	ops   map[string][]porcupine.Operation
}

func (h *history) now() int64 { return time.Since(h.begin).Nanoseconds() }

func (h *history) add(client int, ref string, in call, called int64, out result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	returned := h.now()
	if out.unknown {
		returned = time.Hour.Nanoseconds()
	}
	h.ops[ref] = append(h.ops[ref], porcupine.Operation{ClientId: client, Input: in, Output: out, Call: called, Return: returned})
}

// Clients at all replicas swap and read a few refs while links break and leaders
// die. Every ref must look like one register in one place.
func TestLinearizable(t *testing.T) {
	t.Parallel()
	const clients, refs, commits, runFor = 6, 3, 400, 8 * time.Second
	seed := seed(t)
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	values := someCommits(t, c, c.Client(g), commits)

	h := &history{begin: time.Now(), ops: map[string][]porcupine.Operation{}}
	ctx, cancel := context.WithTimeout(context.Background(), runFor)
	defer cancel()
	var wg sync.WaitGroup
	for i := range clients {
		w := &swapper{
			Client: c.Client(g), h: h, id: i, random: rand.New(rand.NewPCG(seed, uint64(i))),
			values: values[i*commits/clients : (i+1)*commits/clients], at: c.IDs(), refs: refs,
		}
		wg.Go(func() { w.run(ctx) })
	}
	disturb(ctx, c, rand.New(rand.NewPCG(seed, 1<<32)))
	wg.Wait()
	c.Net.Heal()
	for _, m := range c.Members {
		if !m.Running() {
			m.Start()
		}
	}
	c.Leader(g)
	c.Converge(g)
	for ref, ops := range h.ops {
		swaps, unknown := 0, 0
		for _, op := range ops {
			if out := op.Output.(result); out.unknown {
				unknown++
			} else if out.ok && !op.Input.(call).read {
				swaps++
			}
		}
		t.Logf("%s: %d operations, %d swaps, %d without an answer", ref, len(ops), swaps, unknown)
		if swaps == 0 {
			t.Errorf("%s was never moved: this tests nothing", ref)
		}
		if verdict := porcupine.CheckOperationsTimeout(register, ops, time.Minute); verdict != porcupine.Ok {
			t.Errorf("%s: the history is %s", ref, verdict)
		}
	}
}

// someCommits pushes one chain and gives its links, any of which a ref may name.
func someCommits(t *testing.T, c *nodetest.Cluster, client *nodetest.Client, n int) []git.OID {
	t.Helper()
	tree := sha1.Tree(nil)
	objects, values := []nodetest.Object{tree}, []git.OID(nil)
	for i := range n {
		commit := sha1.Commit(tree.OID, fmt.Sprint("link ", i), values[max(0, i-1):]...)
		objects, values = append(objects, commit), append(values, commit.OID)
	}
	mustPush(t, c, client, client.Sign(1, sha1.Pack(objects...), nil, nodetest.Move("refs/heads/all", git.OID{}, values[n-1])))
	return values
}

// swapper is one client.
type swapper struct {
	*nodetest.Client
	h      *history
	id     int
	random *rand.Rand
	values []git.OID // that only it uses, each once
	at     []identity.PeerID
	refs   int
}

func (w *swapper) run(ctx context.Context) {
	seen := map[string]git.OID{} // what it believes, so that swaps often succeed
	for ctx.Err() == nil && len(w.values) > 0 {
		ref := fmt.Sprintf("refs/heads/r%d", w.random.IntN(w.refs))
		at := w.at[w.random.IntN(len(w.at))]
		if _, known := seen[ref]; !known || w.random.IntN(2) == 0 {
			w.read(ctx, at, ref, seen)
		} else {
			w.swap(ctx, at, ref, seen)
		}
	}
}

func (w *swapper) read(ctx context.Context, at identity.PeerID, ref string, seen map[string]git.OID) {
	called := w.h.now()
	listed, err := w.List(ctx, at, nil)
	if err != nil || listed.Welcome.GetStale() {
		return // a stale one promises nothing
	}
	seen[ref] = listed.Refs[ref]
	w.h.add(w.id, ref, call{read: true}, called, result{value: listed.Refs[ref]})
}

func (w *swapper) swap(ctx context.Context, at identity.PeerID, ref string, seen map[string]git.OID) {
	in := call{old: seen[ref], new: w.values[0]}
	w.values = w.values[1:]
	p := w.Sign(1, nil, nil, nodetest.Move(ref, in.old, in.new))
	called := w.h.now()
	attempt, cancel := context.WithTimeout(ctx, 3*time.Second) // some give up without an answer
	defer cancel()
	done, err := w.Send(attempt, p, append([]identity.PeerID{at}, w.at...)...)
	if err != nil {
		w.h.add(w.id, ref, in, called, result{unknown: true})
		return
	}
	switch done.GetOutcome().GetResults()[0].GetCode() {
	case wire.Code_CODE_OK:
		seen[ref] = in.new
		w.h.add(w.id, ref, in, called, result{ok: true})
	default:
		delete(seen, ref)
		w.h.add(w.id, ref, in, called, result{})
	}
}

// disturb breaks one thing at a time until ctx ends.
func disturb(ctx context.Context, c *nodetest.Cluster, random *rand.Rand) {
	pause := func() bool {
		select {
		case <-time.After(time.Duration(100+random.IntN(500)) * time.Millisecond):
			return true
		case <-ctx.Done():
			return false
		}
	}
	for pause() {
		i := random.IntN(len(c.Members))
		victim, others := c.Members[i], c.Others(c.Members[i])
		switch random.IntN(4) {
		case 0:
			for _, m := range others {
				c.Net.Sever(victim.ID, m.ID)
			}
		case 1:
			for _, m := range others {
				c.Net.Silence(victim.ID, m.ID)
			}
		case 2:
			c.Net.Silence(victim.ID, others[0].ID)
			c.Net.Silence(others[1].ID, victim.ID)
		case 3:
			victim.Kill()
		}
		pause()
		c.Net.Heal()
		if !victim.Running() {
			victim.Start()
		}
	}
}
