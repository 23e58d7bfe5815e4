package node

import (
	"fmt"
	"sync"

	"peer/identity"
	"peer/wire"
)

// crowd admits sessions up to a limit, and of one stranger no more than a share, so
// that nobody takes all places.
type crowd struct {
	mu  sync.Mutex
	all int
	of  map[identity.PeerID]int
}

// enter gives a place to a session from a node. leave gives it back.
func (c *crowd) enter(from identity.PeerID, most int) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	full := ""
	switch {
	case c.all >= sessionsMax:
		full = fmt.Sprintf("the node serves %d sessions already", sessionsMax)
	case c.of[from] >= most:
		full = fmt.Sprintf("the node serves %d sessions of yours already", most)
	}
	if full != "" {
		return nil, failure(wire.FailureCode_FAILURE_BUSY, full, "nothing was changed; try again in a moment")
	}
	c.all++
	c.of[from]++
	return func() { c.leave(from) }, nil
}

func (c *crowd) leave(from identity.PeerID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// admitSession gives a session its place. Those of this node's own user are not
// counted against a share, nor those that a fellow member brings: it relays for many.
func (n *Node) admitSession(from identity.PeerID) (leave func(), err error) {
	most := sessionsPerNode
	if from == n.self || n.near.get(from) != nil {
		most = sessionsMax
	}
	return n.sessions.enter(from, most)
}
