package node

import (
	"context"
	"errors"
	"time"

	"peer/git"
	"peer/identity"
	"peer/wire"
)

// toJoinQueued is how many repositories may wait for their packs to be joined.
const toJoinQueued = 16

func (n *Node) maintainLoop() {
	ticker := time.NewTicker(n.cfg.MaintainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case g := <-n.toJoin:
			n.repack(g)
			continue
		case <-n.ctx.Done():
			return
		}
		n.dropOldSeats()
		for _, g := range n.allGroups() {
			if err := n.clearEnded(n.ctx, g); err != nil && n.ctx.Err() == nil {
				g.log.Warn("objects of a removed repository not deleted", "error", err)
			}
			if g.ended() {
				continue
			}
			if err := g.proposeFloor(n.ctx); err != nil && n.ctx.Err() == nil {
				g.log.Debug("floor not raised", "error", err)
			}
			if err := g.work.during(n.ctx, g.gather); err != nil && n.ctx.Err() == nil {
				g.log.Warn("objects not removed", "error", err)
			}
			n.repack(g)
			if err := g.work.during(n.ctx, g.sweepStaging); err != nil && n.ctx.Err() == nil {
				g.log.Warn("staging area not swept", "error", err)
			}
		}
	}
}

// repack joins small packs, so that reading does not slow down with the number
// of pushes. No object is lost by it, reachable or not.
func (n *Node) repack(g *group) {
	if g.ended() {
		return
	}
	if err := g.work.during(n.ctx, g.repack); err != nil && n.ctx.Err() == nil {
		g.log.Warn("packs not joined", "error", err)
	}
}

func (g *group) repack(ctx context.Context) error {
	if !g.packsGo.TryLock() {
		return nil // a check is under way; there is another round
	}
	defer g.packsGo.Unlock()
	for g.gathering.pending == nil { // or the packs are on their way out
		done, err := g.repo.Repack(ctx, git.RepackOptions{})
		if err != nil || done.Name == "" {
			return err
		}
		g.log.Debug("packs joined", "removed", len(done.Removed))
	}
	return nil
}

// dropOldSeats forgets seats that no genesis claimed.
func (n *Node) dropOldSeats() {
	if time.Since(n.started) < seatAge {
		return // a group of ours may not have reached this node since it was down
	}
	var old []identity.RepoID
	err := n.cfg.Store.Seats(func(repo identity.RepoID, _ []byte, at time.Time) error {
		if !n.taken(repo) && time.Since(at) > seatAge {
			old = append(old, repo)
		}
		return nil
	})
	for _, repo := range old {
		if err == nil {
			err = n.dropSeat(repo)
		}
	}
	if err != nil {
		n.log.Warn("seats not swept", "error", err)
	}
}

// dropSeat forgets a seat unless a genesis is claiming it this moment.
func (n *Node) dropSeat(repo identity.RepoID) error {
	n.founding.Lock()
	defer n.founding.Unlock()
	if n.taken(repo) {
		return nil
	}
	return n.cfg.Store.DropSeat(repo)
}

// sweepStaging removes payloads whose pushes were given up long ago.
func (g *group) sweepStaging(ctx context.Context) error {
	if g.staging.empty() {
		return nil
	}
	type answer struct {
		named map[string]bool
		err   error
	}
	a, err := ask(ctx, g.n, func() answer {
		named, err := g.named()
		return answer{named, err}
	})
	if err = errors.Join(err, a.err); err != nil {
		return err
	}
	return g.staging.sweep(a.named)
}

// named finds the transactions in the log that bring a payload. A member that
// lags may still ask for it, also where the transaction was refused.
func (g *group) named() (map[string]bool, error) {
	named := map[string]bool{}
	return named, g.eachEntry(func(entry *wire.Entry, tx *wire.Transaction) error {
		if entry.GetPayload() != nil {
			named[stageKey(tx.GetSigner(), tx.GetId())] = true
		}
		return nil
	})
}
