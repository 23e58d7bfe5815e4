package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"peer/identity"
)

// A group that has nothing to do sleeps: its driver stops calling Tick, on every
// member. The driver vouches for the leader's life meanwhile, by what it knows of
// whole nodes, and calls Wake where that ends. All else that could concern a
// sleeping group wakes it here: whatever anybody asks of it, any message but a
// late answer, and anything that the leader has to say.
//
// None sleeps on for ever without a leader. A leader that wakes is heard at once,
// by its heartbeats. A follower that wakes and hears none campaigns when raft's
// timeout is over, and its request for votes wakes the others.

// calmTicks is how many ticks a leader finds nothing to do before it sleeps: long
// enough for its followers to hear what is committed.
const calmTicks = 10

// Sleep names a state of a group in which nothing is left to do.
type Sleep struct{ Term, Index uint64 }

// Asleep says whether this member sleeps.
func (g *Group) Asleep() bool { return g.asleep }

// Wake has the driver tick again.
func (g *Group) Wake() { g.asleep, g.calm = false, 0 }

// FallAsleep is called before each Tick, and on a leader that sleeps now and then.
// It answers true when this member leads and sleeps: tell the followers. Alive vouches for nodes. A dead one keeps
// nobody awake if a majority is there: the group must be woken when it returns.
func (g *Group) FallAsleep(alive func(identity.PeerID) bool) bool {
	if !g.restful(alive) {
		g.Wake()
		return false
	}
	g.calm++
	g.asleep = g.asleep || g.calm > calmTicks
	return g.asleep
}

// Resting is the state that this member sleeps in, if it leads.
func (g *Group) Resting() (s Sleep, ok bool) {
	b := g.rn.BasicStatus()
	return Sleep{b.GetTerm(), b.GetCommit()}, g.asleep && b.RaftState == raft.StateLeader
}

// Agree is what a follower does when the leader says that the group may sleep:
// the same, if it knows all that the leader knew. If not, the leader must wake.
func (g *Group) Agree(from identity.PeerID, s Sleep) bool {
	sender, ok := g.table.members.Member(from)
	b := g.rn.BasicStatus()
	if !ok || b.RaftState != raft.StateFollower || b.Lead != sender.RaftID || b.GetTerm() != s.Term ||
		b.GetCommit() != s.Index || g.table.Index() != s.Index || g.lastIndex() != s.Index || g.held != nil {
		return false
	}
	g.asleep = true
	return true
}

// restful says whether a leader has nothing left to do.
func (g *Group) restful(alive func(identity.PeerID) bool) bool {
	b, members := g.rn.BasicStatus(), g.table.members
	if b.RaftState != raft.StateLeader || b.LeadTransferee != 0 || members.Joint() || g.rn.HasReady() {
		return false
	}
	if last, err := g.log.LastIndex(); err != nil || last != b.GetCommit() || last != g.table.Index() {
		return false
	}
	rests := true
	there := map[uint64]bool{}
	g.rn.WithProgress(func(id uint64, kind raft.ProgressType, p tracker.Progress) {
		switch {
		case kind == raft.ProgressTypeLearner:
			rests = false
		case id == g.self.RaftID:
			there[id] = true
		case !members.Newest(id): // its node lost it, and lives in another
		case alive(g.seat(id).Peer):
			there[id] = p.Match == b.GetCommit() && p.State == tracker.StateReplicate
			rests = rests && there[id]
		}
	})
	return rests && members.HasQuorum(func(m Member) bool { return there[m.RaftID] })
}

// lateAnswer says whether a message only answers what was said before.
func lateAnswer(m *pb.Message) bool {
	switch m.GetType() {
	case pb.MsgHeartbeatResp, pb.MsgVoteResp, pb.MsgPreVoteResp, pb.MsgReadIndexResp:
		return true
	case pb.MsgAppResp:
		return !m.GetReject()
	}
	return false
}

// stir wakes a member whose turn shows that there is something to do after all.
func (g *Group) stir(t *Turn, leading bool) {
	if g.asleep && (t.LeaderChanged || leading && len(t.Early) > 0) {
		g.Wake()
	}
}
