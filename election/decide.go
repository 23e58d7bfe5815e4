package election

import "slices"

// ID orders members: the raw bytes of a peer ID.
type ID string

// None is nobody's ID.
const None ID = ""

// Member is one member as the deciding one sees it.
type Member struct {
	ID ID
	// Priority comes before the ID: the owner of the group sets it.
	Priority int32
	// Alive: connected, and heard lately. The deciding member is alive to itself.
	Alive bool
	// InSync: holds all that is committed, as far as the deciding member knows.
	InSync bool
	// Unfit: it has what it needs to lead, but pushes would fail there, or fetches.
	// It leads where nobody better can.
	Unfit bool
	// RoundTripMicros is how long a message to it and back takes; zero where that
	// is not known, and for the deciding member.
	RoundTripMicros int64
}

// View is what one member knows when it decides.
type View struct {
	Self    ID
	Leader  ID // None while nobody leads
	Members []Member
	// Busy: the leader has pushes in flight, or is already handing over.
	Busy bool
	// Stay: a leader that is fit does not hand over to a better one.
	Stay bool
}

// A member is far from a leader if a message takes more than farTimes as long as
// to the leader's majority, and farMicros more. A leader there would make each
// push wait for that.
const (
	farTimes  = 2
	farMicros = 30_000
)

// Do is what a member should do.
type Do int

// The zero value is to wait.
const (
	Wait Do = iota
	Campaign
	TransferTo
)

func (d Do) String() string { return [...]string{"wait", "campaign", "transfer to"}[d] }

// Action is a decision.
type Action struct {
	Do     Do
	Target ID // of TransferTo
	// Rank staggers campaigns: how many living members in sync should go first.
	Rank int
}

// Decide says what this member should do now.
func Decide(v View) Action {
	self, ok := v.member(v.Self)
	if !ok {
		return Action{Do: Wait}
	}
	switch {
	case v.Leader == None && v.MajorityAlive() && self.InSync:
		return Action{Do: Campaign, Rank: v.above(self)}
	case v.Leader == v.Self && !v.Busy && (!v.Stay || self.Unfit):
		if best := v.bestNear(self); best.ID != self.ID {
			return Action{Do: TransferTo, Target: best.ID}
		}
	}
	return Action{Do: Wait}
}

// MajorityAlive says whether enough members answer to elect anybody.
func (v View) MajorityAlive() bool {
	alive := 0
	for _, m := range v.Members {
		if m.Alive {
			alive++
		}
	}
	return alive > len(v.Members)/2
}

func (v View) member(id ID) (Member, bool) {
	for _, m := range v.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// before says whether m should lead rather than other.
func (m Member) before(other Member) bool {
	if m.Unfit != other.Unfit {
		return other.Unfit
	}
	if m.Priority != other.Priority {
		return m.Priority > other.Priority
	}
	return m.ID > other.ID
}

// above counts the living members in sync that should lead rather than self.
func (v View) above(self Member) (n int) {
	for _, m := range v.Members {
		if m.Alive && m.InSync && m.before(self) {
			n++
		}
	}
	return n
}

// bestNear is who should lead rather than self, or self.
func (v View) bestNear(self Member) Member {
	best, near := self, farTimes*v.majorityMicros()+farMicros
	for _, m := range v.Members {
		if m.Alive && m.InSync && m.RoundTripMicros <= near && m.before(best) {
			best = m
		}
	}
	return best
}

// majorityMicros is how long the deciding member waits for a majority, itself included.
func (v View) majorityMicros() int64 {
	var trips []int64
	for _, m := range v.Members {
		if m.Alive && m.InSync {
			trips = append(trips, m.RoundTripMicros)
		}
	}
	slices.Sort(trips)
	if quorum := len(v.Members)/2 + 1; len(trips) >= quorum {
		return trips[quorum-1]
	}
	return 0
}
