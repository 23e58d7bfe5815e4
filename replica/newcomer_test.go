package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// TestNewcomer starts a member from the genesis under a seat that it does not name.
func TestNewcomer(t *testing.T) {
	f := newFollowerAs(t, Config{Self: seatKey(4).PeerID(), RaftID: 4})
	if self := f.Self(); self.RaftID != 4 || self.Votes() {
		t.Errorf("a newcomer is %+v", self)
	}
	_ = f.Campaign()
	for range 5 * ElectionTicks {
		f.Tick()
		for _, m := range f.turns() {
			t.Errorf("it sends %s before it is a member", m.GetType())
		}
	}
	to4 := func(m *pb.Message) *pb.Message {
		m.To = new(uint64(4))
		return m
	}
	next := withSeat(t, f.table.members, 1)
	m := to4(f.append(3))
	m.Entries = []*pb.Entry{
		{Type: pb.EntryNormal.Enum(), Term: new(uint64(2)), Index: new(uint64(2))},
		{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(2)), Index: new(uint64(3)), Data: encode(f.table.members.change(next))},
	}
	f.mustStep(m)
	f.wantLog(3, 3)
	f.wantMembers("1 2 3 4?")
	if self := f.Self(); self.RaftID != 4 || self.Role != Learner || len(self.Proof) != 1 {
		t.Errorf("a learner is %+v", self)
	}
	_ = f.Campaign()
	for _, m := range f.turns() {
		if m.GetType() == pb.MsgPreVote || m.GetType() == pb.MsgVote {
			t.Error("a learner campaigns")
		}
	}
}

// TestDroppedLearner loses sight of a leader that does not speak to it any more.
func TestDroppedLearner(t *testing.T) {
	f := newFollowerAs(t, Config{Self: seatKey(4).PeerID(), RaftID: 4})
	heartbeat := func() {
		f.Helper()
		m := f.message(pb.MsgHeartbeat)
		m.To = new(uint64(4))
		f.mustStep(m)
		f.turns()
	}
	pass := func(ticks int) {
		for range ticks {
			f.Tick()
			f.turns()
		}
	}
	heartbeat()
	pass(2 * ElectionTicks)
	if s := f.State(); s.Leader != f.leader() {
		t.Errorf("%q leads a learner that heard it lately", s.Leader)
	}
	pass(1)
	if s := f.State(); s.Leader != "" {
		t.Errorf("%s leads a learner that it does not speak to", s.Leader)
	}
	heartbeat()
	if s := f.State(); s.Leader != f.leader() {
		t.Errorf("%q leads a learner that hears it again", s.Leader)
	}
}
