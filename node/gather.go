package node

import (
	"context"
	"fmt"
	"time"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

const (
	// gatherTimeout bounds one rewriting of a repository.
	gatherTimeout = 6 * time.Hour
	// A repository is rewritten no more often than this, for the sake of clones and
	// for the room that garbage takes.
	gatherEvery = time.Hour
	pruneEvery  = 24 * time.Hour
)

// gathering is the state of what removes objects. Only the maintenance loop
// touches it.
type gathering struct {
	// pending was written; the packs that it replaces go once nobody needs them.
	pending *gathered
	// pruned is the floor of which nothing is left to remove; at is when last
	// something was tried, looked when last the packs were counted.
	pruned     uint64
	at, looked time.Time
}

// gathered is a pack that holds all that must stay, as things were at a moment.
type gathered struct {
	git.Gathered
	floor   uint64
	mark    uint64 // readers who entered before may still need what is replaced
	fetches uint64 // begun by then; a later one may rest on what is replaced
}

// proposeFloor is the leader's part: it decides when what refs left may go.
func (g *group) proposeFloor(ctx context.Context) error {
	if !g.pub.hasRetired() {
		return nil // as in most groups, most of the time
	}
	proposed, err := ask(ctx, g.n, func() error {
		if g.problem != nil {
			return nil
		}
		now := time.Now().UnixMilli()
		c := replica.Collecting{NowMillis: now, GraceMillis: g.n.cfg.GCGrace.Milliseconds()}
		for base := range g.bases {
			c.Bases = append(c.Bases, base)
		}
		floor := g.core.Collect(c)
		if floor == 0 {
			return nil
		}
		g.n.touch(g)
		return g.core.Propose(&wire.Entry{StampUnixMs: now, Collect: &wire.Collect{Floor: floor}})
	})
	if err != nil {
		return err
	}
	return proposed
}

// gather removes what nothing reaches any more, once the floor has moved, and
// keeps large repositories fast to clone. One repository at a time.
func (g *group) gather(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gatherTimeout)
	defer cancel()
	if g.gathering.pending != nil {
		return g.removeGathered()
	}
	floor := g.pub.currentFloor()
	prune := floor > g.gathering.pruned && time.Since(g.gathering.at) >= min(g.n.cfg.GCGrace, pruneEvery)
	pays := false
	if !prune && time.Since(g.gathering.at) >= gatherEvery && time.Since(g.gathering.looked) >= gatherEvery {
		var err error
		g.gathering.looked = time.Now()
		if pays, err = g.repo.GatherPays(); err != nil {
			return err
		}
	}
	if !prune && !pays {
		return nil
	}
	if ready, err := g.readyToGather(ctx, floor); err != nil || !ready {
		return err
	}
	g.gathering.at = time.Now()
	done, err := g.writeGathered(ctx, pays)
	if err != nil || done == nil {
		return err
	}
	if done.Garbage == 0 && done.Name == "" {
		g.gathering.pruned = max(g.gathering.pruned, floor)
		return nil
	}
	g.n.cfg.Fail(failGathered)
	done.mark = g.readers.mark() // who enters from now on finds the new pack
	g.gathering.pending = done
	return g.removeGathered()
}

// readyToGather says whether this replica takes part, has the room, and has
// forgotten its log up to the floor: entries of the log keep their objects. An
// idle group forgets only when something happens, so it is asked something.
func (g *group) readyToGather(ctx context.Context, floor uint64) (bool, error) {
	if free := FreeBytes(g.repo.Dir()); free >= 0 && free < g.n.cfg.FreeBytesMin+g.repo.PackBytes() {
		g.log.Debug("too little room to rewrite the packs")
		return false, nil
	}
	type answer struct {
		first   uint64
		problem error
		err     error
	}
	a, err := ask(ctx, g.n, func() answer {
		first, err := g.raftLog.FirstIndex()
		return answer{first, g.problem, err}
	})
	if err != nil || a.err != nil || a.problem != nil {
		return false, err
	}
	if a.first > floor {
		return true, nil
	}
	bounded, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	_, _ = g.readIndex(bounded) // whatever it says, there was a turn
	return false, nil
}

// writeGathered writes what must stay to one pack; nil: not now, or nothing to do.
func (g *group) writeGathered(ctx context.Context, always bool) (*gathered, error) {
	done, tips, old, err := g.beginGather(ctx)
	if err != nil || done == nil {
		return nil, err
	}
	named, err := g.namedObjects(ctx)
	if err != nil {
		return nil, err
	}
	all := append(tips[:len(tips):len(tips)], named...)
	done.Gathered, err = g.repo.Gather(ctx, all, old, always)
	if err == nil || ctx.Err() != nil {
		return done, err
	}
	// What only the log names may be here in part, and never be needed.
	if cerr := g.repo.Walk(ctx, tips); cerr == nil {
		g.log.Debug("objects that the log names are not whole", "error", err)
		return nil, nil
	}
	return nil, fmt.Errorf("this repository is damaged, so nothing is removed from it; run git fsck in %s: %w", g.repo.Dir(), err)
}

// beginGather takes down what there is at one moment at which nothing is being
// published or fetched: the packs, and the tips that keep what is in them.
func (g *group) beginGather(ctx context.Context) (*gathered, []git.OID, []string, error) {
	p := g.pub
	p.publishing.Lock()
	defer p.publishing.Unlock()
	done := new(gathered)
	g.readers.mu.Lock()
	busy := g.readers.fetching > 0
	done.fetches = g.readers.fetches
	g.readers.mu.Unlock()
	if busy || ctx.Err() != nil {
		return nil, nil, nil, ctx.Err()
	}
	old, err := g.repo.Packs()
	if err != nil {
		return nil, nil, nil, err
	}
	done.floor = p.currentFloor()
	p.reused = map[string]bool{}
	tips, _ := p.tips(0)
	return done, tips, old, nil
}

// namedObjects are those objects in the store that entries of the log name, and
// those that were fetched for what is not in it yet.
func (g *group) namedObjects(ctx context.Context) ([]git.OID, error) {
	type answer struct {
		oids []git.OID
		err  error
	}
	a, err := ask(ctx, g.n, func() answer {
		named, err := g.namedOIDs()
		return answer{named, err}
	})
	if err != nil {
		return nil, err
	}
	if a.err != nil {
		return nil, a.err
	}
	_, _, index := g.pub.list()
	pinned, err := oids(g.readers.pinned(index))
	if err != nil {
		return nil, err
	}
	all := unique(append(a.oids, pinned...))
	have, err := g.repo.Objects(ctx, all)
	if err != nil {
		return nil, err
	}
	here := all[:0]
	for _, oid := range all {
		if _, ok := have[oid]; ok {
			here = append(here, oid)
		}
	}
	return here, nil
}

// namedOIDs belongs to the loop's goroutine.
func (g *group) namedOIDs() (list []git.OID, err error) {
	err = g.eachEntry(func(entry *wire.Entry, tx *wire.Transaction) error {
		for _, op := range tx.GetOperations() {
			if oid, err := git.FromBytes(op.GetRefUpdate().GetNew()); err == nil && !oid.IsZero() {
				list = append(list, oid)
			}
		}
		return nil
	})
	return list, err
}

// removeGathered removes the packs that were replaced, if nobody who began before
// may still read from them. A fetch that began since may rest on what is only in
// them: then they stay, until the next time.
func (g *group) removeGathered() error {
	if g.n.group(g.genesis.Repo) != g {
		return nil // another replica reads these packs by now
	}
	if !g.packsGo.TryLock() {
		return nil
	}
	defer g.packsGo.Unlock()
	p, done := g.pub, g.gathering.pending
	p.publishing.Lock()
	defer p.publishing.Unlock()
	r := &g.readers
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.olderThan(done.mark) {
		return nil
	}
	g.gathering.pending = nil
	if r.fetches != done.fetches {
		return nil
	}
	if err := g.repo.RemoveGathered(done.Gathered, p.reused); err != nil {
		return err
	}
	g.gathering.pruned = max(g.gathering.pruned, done.floor)
	g.log.Info("objects that nothing reaches were removed", "objects", done.Garbage, "packs", len(done.Old))
	return nil
}
