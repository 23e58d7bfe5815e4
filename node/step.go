package node

import (
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
		if err := g.contradiction(from, m); err != nil {
			g.leave(err)
			return
		}
		g.stepped(g.guard(func() (*replica.Need, error) { return g.core.Step(from, m) }))
	}
}

// contradiction finds that a leader's log differs from what is committed here. It
// lost entries that its disk had acknowledged, was restored from a backup say,
// and was elected all the same; raft would take this member's word for having
// the entries that now stand in their places.
func (g *group) contradiction(from identity.PeerID, m *pb.Message) error {
	seat, _ := g.genesis.Member(from)
	state := g.core.State()
	if m.GetType() != pb.MsgApp || m.GetFrom() != seat.RaftID || m.GetTerm() < state.Term {
		return nil // of an older term there may be anything
	}
	check := func(index, term uint64) error {
		ours, err := g.raftLog.Term(index)
		if index > state.Commit || err != nil || ours == term { // forgotten: then no more is known
			return nil
		}
		return fmt.Errorf("entry %d is of term %d for the leader %s, and of term %d on this disk, where it is committed: one of the two lost data", index, term, from, ours)
	}
	if err := check(m.GetIndex(), m.GetLogTerm()); err != nil {
		return err
	}
	for _, e := range m.GetEntries() {
		if err := check(e.GetIndex(), e.GetTerm()); err != nil {
			return err
		}
	}
	return nil
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
	old := g.offered.m
	position := func(m *pb.Message) uint64 { return m.GetSnapshot().GetMetadata().GetIndex() }
	if old == nil || m.GetTerm() > old.GetTerm() || (m.GetTerm() == old.GetTerm() && position(m) >= position(old)) {
		g.offered = offered{from, m}
	}
}
