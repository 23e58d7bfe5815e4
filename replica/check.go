package replica

import (
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// What follows is checked before raft sees a message, which would panic.

// checkMessage lets only those through that members send each other. All but the
// request for a ReadIndex name their sender's term.
func checkMessage(m *pb.Message) error {
	switch kind := m.GetType(); kind {
	case pb.MsgReadIndex:
		if m.GetTerm() != 0 || len(m.GetEntries()) != 1 {
			return fmt.Errorf("%s of term %d with %d contexts", kind, m.GetTerm(), len(m.GetEntries()))
		}
	case pb.MsgApp, pb.MsgAppResp, pb.MsgSnap, pb.MsgHeartbeat, pb.MsgHeartbeatResp, pb.MsgReadIndexResp,
		pb.MsgPreVote, pb.MsgPreVoteResp, pb.MsgVote, pb.MsgVoteResp, pb.MsgTimeoutNow:
		if m.GetTerm() == 0 {
			return fmt.Errorf("%s without a term", kind)
		}
	default:
		return fmt.Errorf("%s is no message between members", kind)
	}
	return nil
}

// ErrDiverged says that a leader contradicts what is applied here: one of the two
// lost data that its disk had acknowledged. This member must not go on: raft would
// count it as holding the leader's entries up to its own commit index.
var ErrDiverged = errors.New("the leader's log contradicts an entry that is applied here: one of the two disks was restored from a backup, or lost data")

// trim takes off the entries that this member has already, as if the leader had
// begun after them: raft ignores a message that begins before what is committed,
// so the rest of one that was held back would be sent again for nothing. An
// entry that is not what follows the one before it is refused.
func (g *Group) trim(m *pb.Message) error {
	// NB: applied, and not raft's commit index, which is ahead of the durable log
	// until the turn is saved.
	last, applied := g.lastIndex(), g.table.Index()
	index, term, have := m.GetIndex(), m.GetLogTerm(), 0
	if ours := g.termOf(index); index <= applied && ours != 0 && ours != term {
		return diverged(index, term, ours)
	}
	for i, e := range m.GetEntries() {
		if len(e.GetData()) > EntryBytesMax {
			return fmt.Errorf("entry %d of %d bytes, want %d at most", e.GetIndex(), len(e.GetData()), EntryBytesMax)
		}
		if e.GetIndex() != index+1 || e.GetTerm() < term || e.GetTerm() > m.GetTerm() {
			return fmt.Errorf("entry %d of term %d after entry %d of term %d", e.GetIndex(), e.GetTerm(), index, term)
		}
		index, term = e.GetIndex(), e.GetTerm()
		ours := g.termOf(index) // zero where the log does not say
		switch {
		case index <= last && ours == term, index <= applied && ours == 0:
			have = i + 1
		case index <= applied:
			return diverged(index, term, ours)
		}
	}
	if have > 0 {
		before := m.GetEntries()[have-1]
		m.Index, m.LogTerm, m.Entries = new(before.GetIndex()), new(before.GetTerm()), m.GetEntries()[have:]
	}
	return nil
}

func diverged(index, term, ours uint64) error {
	return fmt.Errorf("entry %d of term %d, here of term %d: %w", index, term, ours, ErrDiverged)
}

// checkPosition compares where a snapshot claims to be with what is in it.
func (g *Group) checkPosition(at *pb.SnapshotMetadata, table *Table) error {
	switch {
	case at.GetIndex() != table.Index() || at.GetTerm() != table.Term():
		return fmt.Errorf("table of entry %d, term %d, for position %d, term %d", table.Index(), table.Term(), at.GetIndex(), at.GetTerm())
	case !proto.Equal(at.GetConfState(), table.members.confState()):
		return errors.New("configuration that is not its table's")
	}
	return nil
}
