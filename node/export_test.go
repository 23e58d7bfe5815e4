package node

import (
	"context"

	"peer/identity"
	"peer/wire"
)

// Asleep says whether a group is not ticking here.
func (n *Node) Asleep(repo identity.RepoID) bool {
	asleep, _ := ask(n.ctx, n, func() bool {
		g := n.group(repo)
		return g != nil && g.core.Asleep() && !n.loop.awake[g]
	})
	return asleep
}

// Leave takes a replica out of its group.
func (n *Node) Leave(repo identity.RepoID, why error) {
	_, _ = ask(n.ctx, n, func() bool { n.group(repo).leave(why); return true })
}

// SetDamaged says that objects of a replica are damaged, or no longer.
func (n *Node) SetDamaged(repo identity.RepoID, damaged bool) {
	if n.ails.setDamaged(repo, damaged) {
		n.ailingChanged(n.self)
	}
}

// WithoutPaths is what others may read of an error.
var WithoutPaths = withoutPaths

// Propose proposes an entry as it is, where this node leads.
func (n *Node) Propose(repo identity.RepoID, e *wire.Entry) error {
	refused, err := ask(n.ctx, n, func() error {
		g := n.group(repo)
		defer n.touch(g)
		return g.core.Propose(e)
	})
	if err != nil {
		return err
	}
	return refused
}

// SaysVersion has a node say that it knows entries up to a version.
func (n *Node) SaysVersion(v uint32) { n.knows.Store(v) }

// HearsVersion is what another node said last.
func (n *Node) HearsVersion(of identity.PeerID) uint32 {
	nb := n.near.get(of)
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.entries
}

// Applied is the index of the last entry that the table here knows.
func (n *Node) Applied(repo identity.RepoID) uint64 {
	index, _ := ask(n.ctx, n, func() uint64 { return n.group(repo).core.Table().Index() })
	return index
}

// Evidence is a listing's index, the entries that set its refs, and those of which the
// transaction comes with it.
func (n *Node) Evidence(ctx context.Context, repo identity.RepoID) (index uint64, setBy, kept []uint64, err error) {
	s := &session{n: n, g: n.group(repo), hello: &wire.Hello{}}
	l, e, err := s.evidence(ctx)
	if err != nil {
		return 0, nil, nil, err
	}
	for _, k := range e.kept {
		kept = append(kept, k.GetIndex())
	}
	return l.index, l.indexes, kept, nil
}

// Moving is a stream as large frames are written to it.
func Moving(s wire.Stream) wire.Stream { return moving{s, requestTimeout} }
