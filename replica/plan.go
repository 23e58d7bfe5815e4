package replica

import (
	"cmp"
	"fmt"
	"slices"

	"peer/identity"
	"peer/wire"
)

const (
	// DefaultGraceMillis is how long a member may be gone before another node takes its
	// place: laptops sleep.
	DefaultGraceMillis = 24 * 60 * 60 * 1000
	// learnerPatienceMillis is how long a learner may be silent before it is dropped, and
	// perhaps another node asked; a shorter grace holds for learners too.
	learnerPatienceMillis = 2 * 60 * 1000
	// stallMillis is how long a learner may get nothing further before another node
	// is asked: longer than it takes to fetch a large repository.
	stallMillis = 6 * 60 * 60 * 1000
	// caughtUp is how far behind the leader a learner may be when it gets its vote.
	caughtUp = 64
)

// Seen is what a leader knows of one seat.
type Seen struct {
	// Match is the last entry known to be durable there.
	Match uint64
	// Active: it was heard within the last election timeout.
	Active bool
	// GoneMillis is how long its node has not been heard; zero while it is.
	GoneMillis int64
	// StalledMillis is how long a learner that lags has got nothing further.
	StalledMillis int64
	// Lost: its node answers, and says that its disk no longer holds the seat, or
	// holds what contradicts the group.
	Lost bool
}

// Situation is what a leader knows when it decides about the members.
type Situation struct {
	Membership *Membership
	Settings   *wire.Settings
	Founders   int // members of the genesis
	Self       uint64
	Commit     uint64
	Seats      map[uint64]Seen
	// Candidates are nodes without a seat, or with a lost one, that are alive,
	// willing and trusted as voters; the best first.
	Candidates []identity.PeerID
}

// Do is what a leader does about the members.
type Do int

// The zero value is to leave them as they are.
const (
	Keep Do = iota
	Admit
	Drop
	Become
	HandOver
)

// Plan is the next step towards the members that the owner wants and that are alive.
type Plan struct {
	Do     Do
	Peer   identity.PeerID // of Admit and HandOver
	Seat   uint64          // of Drop, and the lost one that Admit replaces, if any
	Voters []uint64        // of Become
	// Why is for people: what is being done, or what keeps it from being done.
	Why string
}

// PlanMembers decides about the next step. It is a pure function, so that any
// leader goes on where the one before stopped. It never takes a step while a
// majority is missing, nor one after which a majority would be.
func PlanMembers(s Situation) Plan {
	if s.Membership.Joint() {
		return Plan{Why: "a change of members is under way"}
	}
	if !s.Membership.HasQuorum(func(m Member) bool { return s.active(m.RaftID) }) {
		return Plan{Why: "no change of members while a majority is missing"}
	}
	if s.Membership.Lineage.Full() {
		return Plan{Why: "the voters changed as often as can be proved: the owner must confirm them, by any change of peer repo replicas"}
	}
	target, why := s.target()
	for _, m := range s.Membership.Members {
		if m.Role == Learner && !slices.ContainsFunc(target, func(t seatWanted) bool { return t.raftID == m.RaftID }) {
			return Plan{Do: Drop, Seat: m.RaftID, Why: fmt.Sprintf("%s is not needed, or does not answer", m.Peer)}
		}
	}
	var voters []uint64
	for _, t := range target {
		if t.raftID == 0 {
			return Plan{Do: Admit, Peer: t.peer, Seat: s.lostSeat(t.peer), Why: why}
		}
		if m, _ := s.Membership.Seat(t.raftID); m.Role == Learner && (!s.active(m.RaftID) || s.Seats[m.RaftID].Match+caughtUp < s.Commit) {
			return Plan{Why: fmt.Sprintf("%s is catching up: it has entry %d of %d", m.Peer, s.Seats[m.RaftID].Match, s.Commit)}
		}
		voters = append(voters, t.raftID)
	}
	return s.become(voters, why)
}

// become ends a change whose newcomers have caught up.
func (s *Situation) become(voters []uint64, why string) Plan {
	leaves := false
	for _, m := range s.Membership.Members {
		leaves = leaves || m.Votes() != slices.Contains(voters, m.RaftID)
	}
	if !leaves {
		return Plan{Why: why}
	}
	able := 0
	for _, id := range voters {
		if s.active(id) {
			able++
		}
	}
	if able <= len(voters)/2 {
		return Plan{Why: "no change of members after which a majority would be missing"}
	}
	if !slices.Contains(voters, s.Self) {
		for _, id := range voters {
			if m, _ := s.Membership.Seat(id); m.Role == Voter && s.active(id) && s.Seats[id].Match >= s.Commit {
				return Plan{Do: HandOver, Peer: m.Peer, Why: "the leader is to leave the group"}
			}
		}
		if slices.ContainsFunc(voters, func(id uint64) bool { m, _ := s.Membership.Seat(id); return m.Role == Voter }) {
			return Plan{Why: "the leader is to leave the group, once another is in sync"}
		}
	}
	return Plan{Do: Become, Voters: voters, Why: why}
}

// want is how many voters the owner wants.
func (s *Situation) want() int {
	if n := int(s.Settings.GetReplicas()); n != 0 {
		return n
	}
	return s.Founders
}

// Short says that a node is wanted that the group does not have.
func (s *Situation) Short() bool {
	stay, _ := s.sort()
	return len(stay) < s.want()
}

// Moving says that a change is under way and its newcomers answer.
func (s *Situation) Moving() bool {
	return s.Membership.Joint() || slices.ContainsFunc(s.Membership.Members, func(m Member) bool { return m.Role == Learner && s.active(m.RaftID) })
}

// Calm says that all is as it should be, whatever nodes could be asked.
func (s *Situation) Calm() bool {
	for _, m := range s.Membership.Members {
		if m.Role != Voter || !s.active(m.RaftID) {
			return false
		}
	}
	return !s.Short() && PlanMembers(*s).Do == Keep
}

// seatWanted is a seat that should vote; raftID is zero for one that is yet to be given.
type seatWanted struct {
	raftID uint64
	peer   identity.PeerID
}

// target says who should vote. Its size is odd.
func (s *Situation) target() ([]seatWanted, string) {
	want := s.want()
	stay, leave := s.sort()
	why := ""
	if voters := len(stay) + len(leave); voters > want {
		why = fmt.Sprintf("%d replicas, and %d are wanted", voters, want)
	}
	target := stay[:min(want, len(stay))]
	newcomers := s.newcomers()
	for len(target) < want && len(newcomers) > 0 {
		target, newcomers = append(target, newcomers[0]), newcomers[1:]
		why = fmt.Sprintf("%d of %d replicas are where they should be", len(target)-1, want)
	}
	// A voter that should go stays where nobody can take its place: a dead seat is
	// better than an even number, or than one replica less.
	for len(target) < want && len(leave) > 0 {
		target, leave = append(target, leave[0]), leave[1:]
		why = "no other node can take a replica: none is alive, willing and trusted"
	}
	if len(target)%2 == 0 {
		target = target[:len(target)-1]
		why = "no two more nodes can take a replica: none are alive, willing and trusted"
	}
	return target, why
}

// sort divides the voters into those that may stay, the best first, and those
// that should go: the one last gone first, and last the lost ones, which never
// come back.
func (s *Situation) sort() (stay, leave []seatWanted) {
	voters := s.Membership.Voters()
	rank := func(m Member) int {
		switch seen := s.Seats[m.RaftID]; {
		case seen.Lost:
			return 4
		case s.named(s.Settings.GetOn(), m.Peer):
			return 0
		case m.RaftID == s.Self:
			return 1
		case seen.Active:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(voters, func(a, b Member) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(s.Seats[a.RaftID].GoneMillis, s.Seats[b.RaftID].GoneMillis), cmp.Compare(a.RaftID, b.RaftID))
	})
	for _, m := range voters {
		if t := (seatWanted{m.RaftID, m.Peer}); s.shouldGo(m) {
			leave = append(leave, t)
		} else {
			stay = append(stay, t)
		}
	}
	return stay, leave
}

// grace is how long a voter may be gone; negative: for ever.
func (s *Situation) grace() int64 {
	if ms := s.Settings.GetGraceMs(); ms != 0 {
		return ms
	}
	return DefaultGraceMillis
}

// patience is how long a learner may be gone.
func (s *Situation) patience() int64 {
	if grace := s.grace(); grace > 0 {
		return min(grace, learnerPatienceMillis)
	}
	return learnerPatienceMillis
}

// shouldGo says whether a voter is to be replaced.
func (s *Situation) shouldGo(m Member) bool {
	grace, seen := s.grace(), s.Seats[m.RaftID]
	return s.named(s.Settings.GetOff(), m.Peer) || seen.Lost || grace > 0 && seen.GoneMillis > grace
}

// useful says whether a learner may still become a voter.
func (s *Situation) useful(m Member) bool {
	seen := s.Seats[m.RaftID]
	return seen.GoneMillis <= s.patience() && seen.StalledMillis <= stallMillis && !seen.Lost && !s.named(s.Settings.GetOff(), m.Peer)
}

// newcomers are the learners at work, and then those that might be asked.
func (s *Situation) newcomers() (list []seatWanted) {
	taken := map[identity.PeerID]bool{}
	for _, m := range s.Membership.Members {
		switch {
		case m.Role != Learner:
			taken[m.Peer] = taken[m.Peer] || !s.Seats[m.RaftID].Lost
		case s.useful(m):
			list, taken[m.Peer] = append(list, seatWanted{m.RaftID, m.Peer}), true
		}
	}
	for _, first := range []bool{true, false} { // those that the owner named
		for _, p := range s.Candidates {
			if !taken[p] && s.named(s.Settings.GetOn(), p) == first && !s.named(s.Settings.GetOff(), p) {
				list = append(list, seatWanted{0, p})
			}
		}
	}
	return list
}

// lostSeat is the seat that p has and lost.
func (s *Situation) lostSeat(p identity.PeerID) uint64 {
	if m, ok := s.Membership.Member(p); ok {
		return m.RaftID
	}
	return 0
}

func (s *Situation) active(raftID uint64) bool { return raftID == s.Self || s.Seats[raftID].Active }

func (s *Situation) named(list [][]byte, p identity.PeerID) bool {
	return slices.ContainsFunc(list, func(raw []byte) bool { return string(raw) == string(p) })
}
