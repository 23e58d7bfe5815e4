package node

import (
	"context"
	"time"

	"peer/git"
	"peer/identity"
)

// maintainEvery is how often a node looks for packs to join and seats to forget.
const maintainEvery = 30 * time.Second

func (n *Node) maintainLoop() {
	ticker := time.NewTicker(maintainEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		n.dropOldSeats()
		for _, g := range n.allGroups() {
			if err := g.repack(n.ctx); err != nil && n.ctx.Err() == nil {
				g.log.Warn("packs not joined", "error", err)
			}
		}
	}
}

// repack joins small packs, so that reading does not slow down with the number
// of pushes. No object is lost by it, reachable or not.
func (g *group) repack(ctx context.Context) error {
	done, err := g.repo.Repack(ctx, git.RepackOptions{})
	if err == nil && done.Name != "" {
		g.log.Debug("packs joined", "removed", len(done.Removed))
	}
	return err
}

// dropOldSeats forgets seats that no genesis claimed.
func (n *Node) dropOldSeats() {
	var old []identity.RepoID
	err := n.cfg.Store.Seats(func(repo identity.RepoID, _ []byte, at time.Time) error {
		if n.group(repo) == nil && time.Since(at) > seatAge {
			old = append(old, repo)
		}
		return nil
	})
	for _, repo := range old {
		if err == nil {
			err = n.cfg.Store.DropSeat(repo)
		}
	}
	if err != nil {
		n.log.Warn("seats not swept", "error", err)
	}
}
