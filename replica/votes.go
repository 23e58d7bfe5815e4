package replica

import (
	"math"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// Raft takes a new configuration when it is applied, not when it is in the log.
// So a member that has the end of a change in its log, and does not know that it
// is committed, asks for the votes of a majority of before, which may be gone for
// good by then; those who do know may lack its later entries, so they can't be
// elected either. Answers to a request for votes therefore tell what is
// committed, and a candidate believes it of its own log.

// tell adds what is applied here, and so committed, to answers to candidates.
func (g *Group) tell(messages []*pb.Message) {
	for _, m := range messages {
		if isVote(m) {
			m.Commit, m.LogTerm = new(g.table.Index()), new(g.table.Term())
		}
	}
}

func isVote(m *pb.Message) bool {
	return m.GetType() == pb.MsgPreVoteResp || m.GetType() == pb.MsgVoteResp
}

// believe takes in what a vote tells about the log, if a change of members is
// part of it: raft forgets about the election, and the next one is held under
// the configuration that is in force.
func (g *Group) believe(m *pb.Message) error {
	b, commit := g.rn.BasicStatus(), m.GetCommit()
	if !isVote(m) || b.RaftState == raft.StateLeader || commit <= b.GetCommit() || g.termOf(commit) != m.GetLogTerm() ||
		m.GetLogTerm() == 0 || g.rn.HasReady() { // its log may be about to change
		return nil
	}
	entries, err := g.log.Entries(b.GetCommit()+1, commit+1, math.MaxUint64)
	if err != nil || !slices.ContainsFunc(entries, func(e *pb.Entry) bool { return e.GetType() == pb.EntryConfChangeV2 }) {
		return err
	}
	// Raft takes it from nobody but a leader.
	if err := g.step(&pb.Message{
		Type: pb.MsgHeartbeat.Enum(), From: m.From, To: m.To, Term: new(b.GetTerm()), Commit: new(commit),
	}); err != nil {
		return err
	}
	return g.rn.ForgetLeader()
}
