package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// newWaiting is a member in a joint configuration that has its end in its log,
// at entry 4, and an entry more, and does not know that any of it is committed.
func newWaiting(t *testing.T) *follower {
	t.Helper()
	f := newFollower(t)
	f.become("1 2 3- 4+")
	m := f.message(pb.MsgApp)
	m.Index, m.LogTerm, m.Commit = new(uint64(3)), new(uint64(2)), new(uint64(3))
	m.Entries = []*pb.Entry{
		{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(2)), Index: new(uint64(4)), Data: f.end(1, 2)},
		{Type: pb.EntryNormal.Enum(), Term: new(uint64(2)), Index: new(uint64(5)), Data: f.entry(1, "")},
	}
	f.mustStep(m)
	f.wantLog(5, 3)
	f.wantMembers("1 2 3- 4+")
	return f
}

// TestVotesTell has a candidate that can't win learn, from one that won't vote for
// it, that the voters it waits for are none any more.
func TestVotesTell(t *testing.T) {
	for name, c := range map[string]struct {
		kind         pb.MessageType
		commit, term uint64
		want         string
	}{
		"refused":        {pb.MsgPreVoteResp, 4, 2, "1 2 4"},
		"refused a vote": {pb.MsgVoteResp, 4, 2, "1 2 4"},
		"and more":       {pb.MsgPreVoteResp, 5, 2, "1 2 4"},
		"not so far":     {pb.MsgPreVoteResp, 3, 2, "1 2 3- 4+"},
		"another log":    {pb.MsgPreVoteResp, 4, 1, "1 2 3- 4+"},
		"beyond the log": {pb.MsgPreVoteResp, 6, 2, "1 2 3- 4+"},
		"nothing":        {pb.MsgPreVoteResp, 0, 0, "1 2 3- 4+"},
		"other kind":     {pb.MsgAppResp, 4, 2, "1 2 3- 4+"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newWaiting(t)
			if err := f.ForgetLeader(); err != nil {
				t.Fatal(err)
			}
			if err := f.Campaign(); err != nil {
				t.Fatal(err)
			}
			f.turns()
			m := f.message(c.kind)
			m.From, m.Commit, m.LogTerm, m.Reject = new(uint64(4)), new(c.commit), new(c.term), new(true)
			if _, err := f.Step(f.PeerOf(4), m); err != nil {
				t.Fatal(err)
			}
			f.turns()
			f.wantMembers(c.want)
			if s := f.State(); s.Leader != "" {
				t.Errorf("%s leads, who only refused", s.Leader)
			}
		})
	}
}

// TestVotesOfAPlainLog are no reason to end an election.
func TestVotesOfAPlainLog(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(1, f.entry(0, "")))
	f.turns()
	if err := f.ForgetLeader(); err != nil {
		t.Fatal(err)
	}
	if err := f.Campaign(); err != nil {
		t.Fatal(err)
	}
	f.turns()
	m := f.message(pb.MsgPreVoteResp)
	m.Term, m.Commit, m.LogTerm = new(uint64(3)), new(uint64(2)), new(uint64(2))
	f.mustStep(m)
	asks := false
	for _, m := range f.turns() {
		asks = asks || m.GetType() == pb.MsgVote
	}
	if !asks {
		t.Error("a candidate that has a majority gave up")
	}
}

// TestVotesAreTold looks at what an answer to a candidate says.
func TestVotesAreTold(t *testing.T) {
	f := newWaiting(t)
	if err := f.ForgetLeader(); err != nil {
		t.Fatal(err)
	}
	m := f.message(pb.MsgPreVote)
	m.Term, m.Index, m.LogTerm = new(uint64(3)), new(uint64(4)), new(uint64(2))
	f.mustStep(m)
	for _, m := range f.turns() {
		if m.GetType() == pb.MsgPreVoteResp && (m.GetCommit() != 3 || m.GetLogTerm() != 2) {
			t.Errorf("it tells of entry %d of term %d, want 3 of 2", m.GetCommit(), m.GetLogTerm())
		} else if m.GetType() == pb.MsgPreVoteResp {
			return
		}
	}
	t.Error("no answer")
}
