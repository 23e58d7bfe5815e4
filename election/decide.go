package election

// ID orders members: the raw bytes of a peer ID.
type ID string

// None is nobody's ID.
const None ID = ""

// Member is one member as the deciding one sees it.
type Member struct {
	ID ID
	// Alive: connected, or answered lately. The deciding member is alive to itself.
	Alive bool
	// InSync: holds all that is committed, as far as the deciding member knows.
	InSync bool
}

// View is what one member knows when it decides.
type View struct {
	Self    ID
	Leader  ID // None while nobody leads
	Members []Member
	// Busy: the leader has pushes in flight, or is already handing over.
	Busy bool
}

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
	switch {
	case v.Leader == None && v.majorityAlive() && v.inSync(v.Self):
		return Action{Do: Campaign, Rank: v.above(v.Self)}
	case v.Leader == v.Self && !v.Busy:
		if best := v.highestInSync(); best > v.Self {
			return Action{Do: TransferTo, Target: best}
		}
	}
	return Action{Do: Wait}
}

func (v View) majorityAlive() bool {
	alive := 0
	for _, m := range v.Members {
		if m.Alive {
			alive++
		}
	}
	return alive > len(v.Members)/2
}

func (v View) inSync(id ID) bool {
	for _, m := range v.Members {
		if m.ID == id {
			return m.InSync
		}
	}
	return false
}

// above counts the living members in sync with an ID higher than id.
func (v View) above(id ID) (n int) {
	for _, m := range v.Members {
		if m.Alive && m.InSync && m.ID > id {
			n++
		}
	}
	return n
}

func (v View) highestInSync() ID {
	best := None
	for _, m := range v.Members {
		if m.Alive && m.InSync && m.ID > best {
			best = m.ID
		}
	}
	return best
}
