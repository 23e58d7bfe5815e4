package node

import (
	"context"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// locate finds the genesis of a repository: here, or as any client does.
func (n *Node) locate(ctx context.Context, repo identity.RepoID) (*replica.Genesis, error) {
	if g := n.group(repo); g != nil {
		return g.genesis, nil
	}
	return n.Client.locate(ctx, repo)
}

// Session opens a stream to a replica of repo: this node's own, or another
// member's. With push set it prefers the leader.
func (n *Node) Session(ctx context.Context, repo identity.RepoID, push bool) (wire.Stream, error) {
	if g := n.group(repo); g != nil {
		return n.ownSession(g)
	}
	return n.Client.Session(ctx, repo, push)
}

// ownSession serves a session in this process.
func (n *Node) ownSession(*group) (wire.Stream, error) {
	client, server, err := streamPair()
	if err != nil {
		return nil, err
	}
	n.spawn(func() { n.serveSession(n.self, server) })
	return client, nil
}
