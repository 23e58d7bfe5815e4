package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"time"

	"peer/git"
	"peer/identity"
)

// scrubLook is how often a node looks which replica is due to be checked.
const scrubLook = 10 * time.Minute

func scrubbedKey(repo identity.RepoID) string { return "scrubbed/" + repo.String() }

// scrubLoop has each replica check itself every ScrubEvery, one at a time and at
// low priority. That is when an index that came from a leader, checked by its
// hash so far, is held against its pack.
func (n *Node) scrubLoop() {
	ticker := time.NewTicker(min(scrubLook, n.cfg.ScrubEvery))
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		for _, g := range n.allGroups() {
			if err := n.scrubDue(g); err != nil && n.ctx.Err() == nil {
				g.log.Warn("replica not checked", "error", err)
			}
		}
	}
}

// scrubDue checks a replica whose time has come. One that was never checked has
// its turn in a whole round from now, so that a thousand new ones don't begin at once.
func (n *Node) scrubDue(g *group) error {
	key := scrubbedKey(g.genesis.Repo)
	raw, _, err := n.cfg.Store.Get(key)
	if err != nil {
		return err
	}
	if len(raw) == 8 && time.Since(time.Unix(int64(binary.BigEndian.Uint64(raw)), 0)) < n.cfg.ScrubEvery {
		return nil
	}
	if len(raw) == 8 || n.cfg.ScrubEvery < time.Minute {
		if err := g.scrub(n.ctx); err != nil {
			return err
		}
	}
	return n.cfg.Store.Put(key, binary.BigEndian.AppendUint64(nil, uint64(time.Now().Unix())))
}

// scrub checks a replica deeply, and mends what it can.
func (g *group) scrub(ctx context.Context) error {
	leave, err := admit(ctx, g.n.verifying)
	if err != nil {
		return err
	}
	defer leave()
	report, err := g.verify(ctx, true)
	if err != nil {
		return err
	}
	return g.treat(ctx, report)
}

// mend sets damaged packs aside and fetches from another member, in one new pack, all
// that refs and retired tips reach, since pushes may still rest on the latter. What the log
// names besides comes along where somebody has it. Where nobody has the retired tips any
// more the log is past them, and this replica, which was away, has yet to hear of that.
func (g *group) mend(ctx context.Context) error {
	named, err := g.namedObjects(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		g.log.Warn("what the log names can't be looked up in the damaged packs", "error", err)
	}
	aside := filepath.Join(g.repo.Dir(), "peer", "damaged", time.Now().UTC().Format("20060102T150405"))
	moved, err := g.repo.SetAside(ctx, aside)
	if err != nil {
		return err
	}
	tips, _ := g.pub.tips(0)
	refs, _ := g.pub.tips(math.MaxUint64)
	var errs []error
	for _, round := range []struct{ must, may []git.OID }{{tips, named}, {tips, nil}, {refs, nil}} {
		for _, from := range g.sources("") {
			if err := g.fetchPack(ctx, from, slices.Concat(round.must, round.may), nil, round.must); err != nil {
				errs = append(errs, fmt.Errorf("from %s: %w", from, err))
				continue
			}
			left, err := g.fsck(ctx, false)
			if err == nil && len(left) == 0 {
				g.log.Warn("objects were damaged here, and were fetched again", "from", from, "packs set aside", len(moved), "in", aside)
				g.emit(Event{Kind: EventMended, Peer: g.n.self, Detail: fmt.Sprintf("%d packs set aside, objects fetched from %s", len(moved), from)})
				return nil
			}
			if err == nil {
				err = errors.New(left[0])
			}
			errs = append(errs, fmt.Errorf("after what %s sent: %w", from, err))
		}
	}
	return fmt.Errorf("objects are damaged here, and nobody has them whole: %w", errors.Join(errs...))
}
