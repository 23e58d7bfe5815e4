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
// member's where this node has none that takes part.
func (n *Node) Session(ctx context.Context, repo identity.RepoID, push bool) (wire.Stream, error) {
	g := n.group(repo)
	if g == nil {
		return n.Client.Session(ctx, repo, push)
	}
	_, problem, err := g.state(ctx)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		if s, err := n.memberSession(ctx, g.genesis, push); err == nil {
			return s, nil
		}
	}
	return n.ownSession()
}

// ownSession serves a session in this process.
func (n *Node) ownSession() (wire.Stream, error) {
	client, server, err := streamPair()
	if err != nil {
		return nil, err
	}
	n.spawn(func() { n.serveSession(n.self, server) })
	return client, nil
}
