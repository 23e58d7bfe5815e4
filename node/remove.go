package node

import (
	"context"
	"fmt"
	"os"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Remove ends a repository: its owner's tombstone stays, its objects go when
// members that lag had time to hear of it. Where it ended and the answer got lost there is
// nothing more to say, and no error.
func (c *Client) Remove(ctx context.Context, repo identity.RepoID, reason string) (*replica.Done, error) {
	done, err := c.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_Remove{Remove: &wire.Remove{Reason: reason}}})
	if err != nil {
		// The reply to an attempt that succeeded may have got lost with a leader.
		if info, shown := c.Show(ctx, repo); shown == nil && info.Removed != nil {
			return nil, nil
		}
	}
	return done, err
}

// errEnded is what everybody is told who asks for a repository that has ended.
func errEnded(g *replica.Genesis, stone *wire.Tombstone) error {
	return failure(wire.FailureCode_FAILURE_NOT_FOUND,
		fmt.Sprintf("%s was removed by its owner on %s (index %d)", g.Name, time.UnixMilli(stone.GetStampUnixMs()).UTC().Format(time.DateTime+" UTC"), stone.GetIndex()),
		"clones that you have are whole; the owner can create a repository under another name from one")
}

// ended says whether the owner removed the repository, as far as this replica knows.
func (g *group) ended() bool {
	state, _, err := g.state(g.n.ctx)
	return err == nil && state.Tombstone != nil
}

// clearEnded deletes the objects of a repository that ended a while ago. Table
// and log stay: they say so to whoever asks.
func (n *Node) clearEnded(ctx context.Context, g *group) error {
	state, problem, err := g.state(ctx)
	stone := state.Tombstone
	if err != nil || problem != nil || stone == nil || time.Since(time.UnixMilli(stone.GetStampUnixMs())) < n.cfg.EndedAge {
		return err
	}
	if err := g.pub.wait(ctx, stone.GetIndex()); err != nil {
		return err
	}
	if _, err := os.Stat(g.repo.Dir()); os.IsNotExist(err) {
		return nil
	}
	g.log.Info("deleting the objects of a repository that its owner removed", "dir", g.repo.Dir())
	return os.RemoveAll(g.repo.Dir())
}
