package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"peer/git"
	"peer/replica"
	"peer/wire"
)

// publisher makes git's refs follow the table: it installs the objects that
// applied entries brought, then moves the refs, in order. It works beside the
// loop; readers wait for the index they need.
type publisher struct {
	g *group
	// gate is held for reading while git lists refs and for writing while they
	// move, so a listing belongs to exactly one index.
	gate sync.RWMutex

	// refs, head and retired are guarded by gate. setBy is the entry that set each ref.
	refs    map[string]git.Ref
	setBy   map[string]uint64
	head    string
	retired []retiredTip // oldest first
	floor   uint64
	// noted is the last index remembered on disk; see note. Only run touches it.
	noted uint64

	// publishing is held while a publication is installed and its refs moved: what is
	// in the store by then, refs or retired tips reach. It guards reused, the packs
	// that were there already when an entry brought them, since that was last asked, and arrived.
	publishing sync.Mutex
	reused     map[string]bool
	arrived    int // packs, since the maintainer was last told

	// proved is the last listing that was made for proofs.
	proved atomic.Pointer[listed]

	// mu guards what follows. Whoever holds both took gate first.
	mu      sync.Mutex
	queue   []publication
	running bool
	index   uint64 // all up to here is published
	changed chan struct{}
	err     error
}

// publication is a run of applied entries or, before them, a table that
// replaces everything.
type publication struct {
	installed *wire.TableSnapshot
	applied   []replica.Applied
}

func newPublisher(g *group, t *replica.Table) *publisher {
	p := &publisher{g: g, noted: g.publishedSaved, reused: map[string]bool{}, changed: make(chan struct{})}
	p.load(t.Refs(), t.Head(), t.Retired(), t.Floor())
	return p
}

func (p *publisher) load(refs []*wire.Ref, head string, retired []*wire.Retired, floor uint64) {
	p.retired, p.floor = loadRetired(retired), floor
	p.refs, p.setBy, p.head = make(map[string]git.Ref, len(refs)), make(map[string]uint64, len(refs)), head
	for _, r := range refs {
		if oid, err := git.FromBytes(r.GetOid()); err == nil {
			p.refs[r.GetName()] = git.Ref{Name: r.GetName(), OID: oid}
			p.setBy[r.GetName()] = r.GetIndex()
		}
	}
}

// force writes all refs as they are now known. Start-up and snapshots use it.
func (p *publisher) force(index uint64) error {
	p.gate.Lock()
	defer p.gate.Unlock()
	p.peel(p.g.n.ctx)
	if err := p.g.repo.WriteRefs(p.listing()); err != nil {
		return fmt.Errorf("force refs to the table: %w", err)
	}
	p.advance(index)
	return nil
}

// again writes the published refs once more, over whatever somebody put there.
func (p *publisher) again() error {
	p.gate.Lock()
	defer p.gate.Unlock()
	return p.g.repo.WriteRefs(p.listing())
}

// published is the index that the listing belongs to.
func (p *publisher) published() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.index
}

// wait returns when index is published.
func (p *publisher) wait(ctx context.Context, index uint64) error {
	for {
		p.mu.Lock()
		now, changed, err := p.index, p.changed, p.err
		p.mu.Unlock()
		if now >= index {
			return nil
		}
		if err != nil {
			return fmt.Errorf("this replica can't publish: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (p *publisher) advance(index uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.index = index
	close(p.changed)
	p.changed = make(chan struct{})
}

// push queues what a turn did. It is called by the loop and does not wait.
func (p *publisher) push(next publication) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.queue) - 1; last >= 0 && next.installed == nil {
		p.queue[last].applied = append(p.queue[last].applied, next.applied...)
	} else {
		p.queue = append(p.queue, next)
	}
	if !p.running {
		p.running = true
		p.g.n.spawn(p.run)
	}
}

func (p *publisher) run() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 || p.err != nil || p.g.n.ctx.Err() != nil {
			p.running = false
			p.mu.Unlock()
			return
		}
		next := p.queue[0]
		p.queue = p.queue[1:]
		p.mu.Unlock()
		if err := p.publish(next); err != nil && p.g.n.ctx.Err() == nil {
			p.broken(err)
		}
	}
}

// broken stops this replica: its disk does not take what the group applied. A
// restart replays it.
func (p *publisher) broken(err error) {
	p.mu.Lock()
	p.err = err
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.g.n.post(func() { p.g.leave(fmt.Errorf("publish: %w", err)) })
}

func (p *publisher) publish(next publication) error {
	if next.installed.GetMeta().GetTombstone() != nil {
		return p.end(next)
	}
	ctx, fail := p.g.n.ctx, p.g.n.cfg.Fail
	p.publishing.Lock()
	defer p.publishing.Unlock()
	fail(failPublishBefore)
	if err := p.installAll(ctx, next.applied); err != nil {
		return err
	}
	fail(failPublishInstalled)
	last, err := p.move(ctx, next)
	if err != nil {
		return err
	}
	fail(failPublishRefs)
	for _, a := range next.applied {
		brought := a.Payload
		if a.Repeat && didSome(a.Outcome) {
			brought = a.Again
		}
		if brought == nil {
			continue // one that was refused must stay for members that lag
		}
		if err := p.g.staging.drop(a.Signer[:], a.ID, a.Outcome.GetTxSha256(), brought); err != nil {
			p.g.log.Warn("staged payload stays behind", "error", err)
		}
	}
	p.g.checkForwardLater(next.applied)
	return p.note(last)
}

// move moves the refs to where a publication put them, all at once, and says
// which index the listing now belongs to.
func (p *publisher) move(ctx context.Context, next publication) (uint64, error) {
	p.gate.Lock()
	defer p.gate.Unlock()
	moved := next.installed != nil
	last := next.installed.GetMeta().GetIndex()
	if moved {
		p.load(next.installed.GetRefs(), next.installed.GetMeta().GetHead(), next.installed.GetRetired(), next.installed.GetMeta().GetFloor())
	}
	for _, a := range next.applied {
		last = a.Index
		moved = moved || len(a.Refs) > 0 || a.Head != ""
		if err := p.moveApplied(a); err != nil {
			return last, err
		}
	}
	if moved {
		p.peel(ctx)
		if err := p.g.repo.WriteRefs(p.listing()); err != nil {
			return last, err
		}
	}
	p.advance(last)
	return last, nil
}

// end publishes the table of a repository that its owner removed: nothing, since
// its objects may be gone already.
func (p *publisher) end(next publication) error {
	last := next.installed.GetMeta().GetIndex()
	if n := len(next.applied); n > 0 {
		last = next.applied[n-1].Index
	}
	p.advance(last)
	return p.note(last)
}

func (p *publisher) moveApplied(a replica.Applied) error {
	for _, r := range a.Refs {
		oid, err := git.FromBytes(r.New)
		if err != nil {
			return err
		}
		if oid.IsZero() {
			delete(p.refs, r.Name)
			delete(p.setBy, r.Name)
		} else {
			p.refs[r.Name] = git.Ref{Name: r.Name, OID: oid}
			p.setBy[r.Name] = a.Index
		}
	}
	for _, name := range a.Renewed {
		p.setBy[name] = a.Index
	}
	if a.Head != "" {
		p.head = a.Head
	}
	return p.retire(a)
}

// note remembers, now and then, up to where a restart need not publish again. It
// does so at once where the floor was raised: objects of earlier entries may go,
// and the log is forgotten no further than what is noted.
func (p *publisher) note(index uint64) error {
	if index < p.noted+max(p.g.n.cfg.LogKeep/8, 1) && p.currentFloor() <= p.noted {
		return nil
	}
	if err := p.g.n.cfg.Store.Put(publishedKey(p.g.genesis.Repo), binary.BigEndian.AppendUint64(nil, index)); err != nil {
		return err
	}
	p.noted = index
	p.g.n.post(func() { p.g.publishedSaved = index })
	return nil
}
