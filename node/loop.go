package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"peer/replica"
)

// loop is the one goroutine that steps all groups and owns the sync. Everything
// else reports to it by posting; it never waits for git or the network.
type loop struct {
	inbox chan func()
	// dirty holds the groups that may have something to do. Only the loop's
	// goroutine touches it.
	dirty map[*group]bool
	// awake holds the groups that tick, and asleep those that need not.
	awake  map[*group]bool
	asleep sleepers
	ticks  uint64
	// turned is when the loop last began a turn, in time since the node started.
	turned atomic.Int64
}

func (l *loop) init(tick time.Duration) {
	l.inbox = make(chan func(), inboxLen)
	l.dirty, l.awake = map[*group]bool{}, map[*group]bool{}
	l.asleep = newSleepers(tick)
}

// post has f run on the loop's goroutine. It blocks while the inbox is full, so
// the loop itself must never post.
func (n *Node) post(f func()) {
	select {
	case n.loop.inbox <- f:
	case <-n.ctx.Done():
	}
}

// ask runs f on the loop's goroutine and waits for its answer.
func ask[T any](ctx context.Context, n *Node, f func() T) (T, error) {
	answer := make(chan T, 1)
	n.post(func() { answer <- f() })
	select {
	case v := <-answer:
		return v, nil
	case <-ctx.Done():
		var zero T
		return zero, context.Cause(ctx)
	case <-n.ctx.Done():
		var zero T
		return zero, context.Cause(n.ctx)
	}
}

func (n *Node) run() {
	ticker := time.NewTicker(n.cfg.Tick)
	defer ticker.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-ticker.C:
			n.tick()
		case f := <-n.loop.inbox:
			f()
		}
		n.loop.turned.Store(int64(time.Since(n.started)))
		n.drain()
		for len(n.loop.dirty) > 0 && n.ctx.Err() == nil {
			if err := n.turn(); err != nil {
				n.fail(err)
				return
			}
		}
	}
}

// drain takes in what is waiting, so that one sync serves many.
func (n *Node) drain() {
	for range turnPostsMax {
		select {
		case f := <-n.loop.inbox:
			f()
		default:
			return
		}
	}
}

func (n *Node) tick() {
	n.loop.ticks++
	n.countSilence()
	for g := range n.loop.awake {
		if g.problem != nil || n.group(g.genesis.Repo) != g {
			delete(n.loop.awake, g)
			continue
		}
		g.tick(n.loop.ticks)
	}
	n.checkSleepers()
}

// touch says that a group may have something to do.
func (n *Node) touch(g *group) {
	if !g.dropped {
		n.loop.dirty[g] = true
	}
}

// turn carries out what the groups ask: send what may go early, make all of it
// durable in one write, then send, answer and publish.
func (n *Node) turn() error {
	type work struct {
		g *group
		t *replica.Turn
	}
	var todo []work
	var saves []replica.Save
	for g := range n.loop.dirty {
		delete(n.loop.dirty, g)
		if g.problem != nil {
			continue
		}
		t, err := g.core.Turn()
		if err != nil {
			g.leave(err)
			continue
		}
		n.settle(g)
		if t == nil {
			continue
		}
		if table := g.core.Table(); table.Tombstone() != nil {
			g.core.Compact(t, table.Index(), 0) // who comes late gets the tombstone alone
		} else {
			g.core.Compact(t, g.publishedSaved, n.cfg.LogKeep)
		}
		g.send(t.Early)
		todo = append(todo, work{g, t})
		if !t.Save.Empty() || len(t.More) > 0 {
			saves = append(append(saves, t.Save), t.More...)
		}
	}
	for len(saves) > 0 {
		n.cfg.Fail(failSaveBefore)
		err := n.cfg.Store.Save(saves)
		var refused refusedSave
		if errors.As(err, &refused) {
			// One group asks for what can't be saved. Nothing was, and the others go on.
			repo := refused.Refused()
			for _, w := range todo {
				if w.g.genesis.Repo == repo {
					w.g.leave(err)
				}
			}
			saves = slices.DeleteFunc(saves, func(s replica.Save) bool { return s.Repo == repo })
			continue
		}
		if err != nil {
			return fmt.Errorf("the node's database failed, and nothing more is acknowledged: %w", err)
		}
		n.cfg.Fail(failSaveAfter)
		break
	}
	for _, w := range todo {
		if w.g.problem != nil {
			continue
		}
		w.g.send(w.t.Messages)
		w.g.carryOut(w.t)
		w.g.core.Done(w.t)
		n.touch(w.g) // there may be more
	}
	return nil
}
