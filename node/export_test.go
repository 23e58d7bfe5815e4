package node

import (
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
