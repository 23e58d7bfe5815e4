package replica

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"peer/identity"
	"peer/wire"
)

// State is what this member knows about the group.
type State struct {
	Leading bool
	Leader  identity.PeerID // empty while nobody leads
	Term    uint64
	Applied uint64
	Commit  uint64
	// Transferring is set while leadership is being handed over.
	Transferring bool
	// Membership is who has which seat.
	Membership *Membership
	// Tombstone says that the owner removed the repository; nil: it lives.
	Tombstone *wire.Tombstone
	// Members is filled where this member leads: followers don't know each other's progress.
	Members []Progress
}

// Progress is how far a member's disk is, as the leader knows.
type Progress struct {
	Member
	// Match is the last entry known to be durable there.
	Match uint64
	// Active: it was heard within the last election timeout.
	Active bool
	// InSync: it votes, answered, and holds all that is committed.
	InSync bool
}

// Leading says whether this member leads, and in which term.
func (g *Group) Leading() (term uint64, leading bool) {
	s := g.rn.BasicStatus()
	return s.GetTerm(), s.RaftState == raft.StateLeader
}

// State describes the group.
func (g *Group) State() State {
	b := g.rn.BasicStatus()
	s := State{
		Leading: b.RaftState == raft.StateLeader, Leader: g.leaderNow(b.Lead),
		Term: b.GetTerm(), Applied: g.table.Index(), Commit: b.GetCommit(),
		Transferring: b.LeadTransferee != 0, Membership: g.table.members, Tombstone: g.table.Tombstone(),
	}
	if !s.Leading {
		return s
	}
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		active := id == g.self.RaftID || g.active(id)
		seat := g.seat(id)
		s.Members = append(s.Members, Progress{
			Member: seat, Match: p.Match, Active: active,
			InSync: seat.Votes() && active && p.Match >= s.Commit,
		})
	})
	return s
}

// leaderNow names the leader. Raft forgets a silent one only where it could
// campaign: a learner that was dropped would follow its last leader for ever.
func (g *Group) leaderNow(lead uint64) identity.PeerID {
	if !g.Self().Votes() && g.ticks-g.heard[lead] > 2*ElectionTicks {
		return ""
	}
	return g.seat(lead).Peer
}

// active is kept here since raft forgets its own note of it with each check of
// the quorum. A member never heard is not active.
func (g *Group) active(raftID uint64) bool {
	at, ever := g.heard[raftID]
	return ever && g.ticks-at <= ElectionTicks
}
