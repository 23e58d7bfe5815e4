package node

import (
	"context"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// sessionHere opens a stream to this node's own replica, or where that takes no part to
// another member's.
func (n *Node) sessionHere(ctx context.Context, g *group, push bool) (wire.Session, error) {
	_, problem, err := g.state(ctx)
	if err != nil {
		return wire.Session{}, err
	}
	if problem != nil {
		if s, err := n.memberSession(ctx, g.genesis, push); err == nil {
			return s, nil
		}
	}
	s, err := n.ownSession()
	return wire.Session{Stream: s, To: []byte(n.self)}, err
}

// SessionFor is Session for as, a client that speaks under another key than this
// home's. Of a private repository that its key must not read it hears what it hears of
// one that is nowhere, and as late: it looks for it as if nothing were here.
func (n *Node) SessionFor(ctx context.Context, as *Client, repo identity.RepoID, push bool) (wire.Session, error) {
	if g := n.group(repo); g != nil && g.readableBy(as.user.Public()) {
		return n.Session(ctx, repo, push)
	}
	return as.Session(ctx, repo, push)
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

// knownGenesis is of a repository that has a replica here, in whatever state. It
// also has the client know who has seats now.
func (n *Node) knownGenesis(repo identity.RepoID) *replica.Genesis {
	if g := n.group(repo); g != nil {
		n.members.put(repo, g.members().Lineage)
		return g.genesis
	}
	if b := n.brokenGroup(repo); b != nil && len(b.genesis.Members) > 0 {
		return b.genesis
	}
	return nil
}

// lastHeard is when another node of this one's groups last gave a sign of life;
// zero while it does, and where none is known.
func (n *Node) lastHeard(p identity.PeerID) time.Time {
	nb := n.near.get(p)
	if nb == nil || n.answers(p) {
		return time.Time{}
	}
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.cameAt
}
