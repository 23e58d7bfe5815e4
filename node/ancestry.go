package node

import (
	"context"
	"encoding/hex"
	"fmt"
	"sync"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// A leader says of what objects a ref that must move forward moves ([wire.Ancestry]),
// and the other replicas take its word when they apply the entry: applying knows no
// objects. Each asks git as soon as it has them. What the leader said is true for
// ever or never was, so who finds it untrue knows that the leader is at fault, and
// that the table here holds a move that the policy forbids: it leaves its group.

// find asks git about the moves that need it, before the entry is proposed. Where
// git can't tell, or says no, nothing is said, and the update is refused.
func (u *push) find(ctx context.Context, is func(ctx context.Context, old, new git.OID) (bool, error)) error {
	for _, a := range u.asked {
		old, err1 := git.FromBytes(a.GetOld())
		new, err2 := git.FromBytes(a.GetNew())
		if err1 != nil || err2 != nil {
			continue
		}
		yes, err := is(ctx, old, new)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			u.g.log.Debug("not known whether a push goes forward", "old", old, "new", new, "error", err)
		}
		if yes {
			u.found = append(u.found, a)
		}
	}
	return nil
}

// saidForward is one thing that a leader said.
type saidForward struct {
	entry, term uint64
	*wire.Ancestry
}

// doubter checks what leaders said, one thing after the other.
type doubter struct {
	mu      sync.Mutex
	queue   []saidForward
	running bool
}

// saidForwardMax bounds what waits to be checked; a daily check of the log finds the rest.
const saidForwardMax = 10_000

// checkForwardLater has what published entries rest on checked.
func (g *group) checkForwardLater(applied []replica.Applied) {
	d := &g.doubter
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range applied {
		for _, said := range a.Ancestry {
			if len(d.queue) < saidForwardMax {
				d.queue = append(d.queue, saidForward{a.Index, a.Term, said})
			}
		}
	}
	if len(d.queue) > 0 && !d.running {
		d.running = true
		g.n.spawn(g.checkForward)
	}
}

func (g *group) checkForward() {
	d := &g.doubter
	for {
		d.mu.Lock()
		if len(d.queue) == 0 || g.n.ctx.Err() != nil {
			d.running, d.queue = false, nil
			d.mu.Unlock()
			return
		}
		next := d.queue[0]
		d.queue = d.queue[1:]
		d.mu.Unlock()
		own, err := ask(g.n.ctx, g.n, func() bool {
			term, leading := g.core.Leading()
			return leading && term == next.term
		})
		if err != nil || own {
			continue // it asked git itself
		}
		lie, err := g.lie(g.n.ctx, next)
		if err != nil {
			g.log.Warn("not checked what the leader said of a ref that moves forward only", "entry", next.entry, "error", err)
		}
		if lie != nil {
			g.n.post(func() { g.loseSeat(lie) })
		}
	}
}

// lie says in what a leader was wrong; nil: in nothing.
func (g *group) lie(ctx context.Context, v saidForward) (lie, err error) {
	old, err := git.FromBytes(v.GetOld())
	if err != nil {
		return nil, err
	}
	new, err := git.FromBytes(v.GetNew())
	if err != nil {
		return nil, err
	}
	defer g.readers.enter()()
	yes, err := g.repo.IsAncestorIdly(ctx, old, new)
	if yes || err != nil {
		return nil, err
	}
	return fmt.Errorf("the leader of term %d said in entry %d that %s is an ancestor of %s, and it is not: it moved a protected ref against the policy",
		v.term, v.entry, hex.EncodeToString(v.GetOld()), hex.EncodeToString(v.GetNew())), nil
}

// forwardIn is what an applied entry of the log rests on, on the loop's goroutine.
func (g *group) forwardIn(e *pb.Entry) (list []saidForward) {
	if e.GetType() != pb.EntryNormal || e.GetIndex() > g.core.Table().Index() {
		return nil
	}
	entry, _, err := decode(e)
	if err != nil {
		return nil
	}
	for _, a := range entry.GetAncestry() {
		if len(list) < replica.AncestryMax {
			list = append(list, saidForward{e.GetIndex(), e.GetTerm(), a})
		}
	}
	return list
}

// verifyForward asks git once more about all that leaders said in the log. Objects
// that have left since can't be asked about.
func (g *group) verifyForward(ctx context.Context, r *wire.Verified, said []saidForward) error {
	for _, v := range said {
		lie, err := g.lie(ctx, v)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			g.log.Debug("not checked what a leader said", "entry", v.entry, "error", err)
		}
		if lie != nil {
			addFinding(r, "log", "%v", lie)
			g.n.post(func() { g.loseSeat(lie) })
		}
	}
	return nil
}
