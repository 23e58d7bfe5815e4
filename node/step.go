package node

import (
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
)

// step gives a message to the group, and sees to what the group then needs.
func (g *group) step(from identity.PeerID, m *pb.Message) {
	switch {
	case g.problem != nil:
	case g.needing && m.GetType() == pb.MsgSnap:
		g.offer(from, m)
	default:
		need, err := g.guard(func() (*replica.Need, error) { return g.core.Step(from, m) })
		if errors.Is(err, replica.ErrUnknownSender) {
			g.introduceSender(from, m.GetFrom())
			return
		}
		g.stepped(need, err)
	}
}

// guard runs a step. Raft panics over messages that contradict what it knows,
// and no member's message may end the other groups of this node.
func (g *group) guard(step func() (*replica.Need, error)) (need *replica.Need, err error) {
	defer func() {
		if p := recover(); p != nil {
			need, err = nil, nil
			g.leave(fmt.Errorf("a member contradicts what is stored here: %v", p))
		}
	}()
	return step()
}

// offered is a snapshot that came while something was being fetched. Its sender
// sends nothing else before it is acknowledged, so it must not get lost: when a
// leader died during the fetch, the next one's is the only one that counts.
type offered struct {
	from identity.PeerID
	m    *pb.Message
}

// offer keeps the newest.
func (g *group) offer(from identity.PeerID, m *pb.Message) {
	if g.core.PeerOf(m.GetFrom()) != from {
		return // or a stranger's would take the place of the leader's
	}
	old := g.offered.m
	position := func(m *pb.Message) uint64 { return m.GetSnapshot().GetMetadata().GetIndex() }
	if old == nil || m.GetTerm() > old.GetTerm() || (m.GetTerm() == old.GetTerm() && position(m) >= position(old)) {
		g.offered = offered{from, m}
	}
}
