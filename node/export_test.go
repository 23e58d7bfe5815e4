package node

import "peer/identity"

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

// WithoutPaths is what others may read of an error.
var WithoutPaths = withoutPaths
