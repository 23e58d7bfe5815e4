package node

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// broken is a repository whose replica here did not open: its table or its
// directory is damaged. The node keeps it, seat and bytes, and goes on with the
// others; it takes no part in this group.
type broken struct {
	genesis *replica.Genesis // only with ID and a made-up name where even that is unreadable
	err     error
}

// keepBroken notes that a group did not open.
func (n *Node) keepBroken(repo identity.RepoID, err error) {
	b := &broken{genesis: n.genesisOf(repo), err: fmt.Errorf("this replica does not open: %w", err)}
	n.log.Error("a replica does not open; the node goes on without it", "repo", b.genesis.Name, "id", repo.Short(), "error", err)
	n.broken[repo] = b
}

// errScanned ends a scan that found what it looked for.
var errScanned = errors.New("found")

// genesisOf reads as little as it can: the first key of a table, or what this
// node remembers of others' repositories.
func (n *Node) genesisOf(repo identity.RepoID) *replica.Genesis {
	var found *replica.Genesis
	_ = n.cfg.Store.Table(repo, func(key string, value []byte) error { // whatever is wrong with the rest of it
		signed := new(wire.Signed)
		if proto.Unmarshal(value, signed) == nil {
			found, _ = replica.ParseGenesis(signed)
		}
		return errScanned
	})
	if found == nil || found.Repo != repo {
		found = n.recall(repo)
	}
	if found == nil {
		found = &replica.Genesis{Repo: repo, Name: repo.Short()}
	}
	return found
}

// brokenGroup is why a repository that has a seat here has no group; nil if it has.
func (n *Node) brokenGroup(repo identity.RepoID) *broken {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.broken[repo]
}

// taken says whether this disk holds a replica, in whatever state.
func (n *Node) taken(repo identity.RepoID) bool {
	return n.group(repo) != nil || n.brokenGroup(repo) != nil
}

// errMissing tells somebody why there is no group here that they may know of.
func (n *Node) errMissing(repo identity.RepoID, asks identity.PeerID) error {
	b := n.brokenGroup(repo)
	if b == nil || n.hides(repo, asks) {
		return errNotFound(repo)
	}
	return failure(wire.FailureCode_FAILURE_NOT_FOUND, b.genesis.Name+": "+withoutPaths(b.err),
		"nothing was changed here; ask another replica, and see on this machine: peer why "+b.genesis.Name)
}

// showBroken describes a repository as its other replicas do, where they answer.
func (n *Node) showBroken(ctx context.Context, b *broken) Info {
	info, err := n.showElsewhere(ctx, b.genesis.Repo)
	if err != nil {
		info = Info{Genesis: b.genesis}
	}
	info.Problem = b.err.Error()
	if b.genesis.Owner != (identity.PublicKey{}) {
		info.Dir = repoDir(n.cfg.ReposDir, b.genesis)
	}
	return info
}

func (n *Node) allBroken() []*broken {
	n.mu.RLock()
	defer n.mu.RUnlock()
	list := make([]*broken, 0, len(n.broken))
	for _, b := range n.broken {
		list = append(list, b)
	}
	return list
}
