package replica

const (
	// RetiredMax is how many retired tips a table keeps before the oldest go,
	// whatever their age.
	RetiredMax = 16_384
	// collectMax bounds what one entry drops, and so what its write changes. The
	// tips of one entry go together, so it may be exceeded by OperationsMax; a Collect
	// that drops yet more does nothing.
	collectMax = 32_768
)

// Collecting is what a leader's decision to raise the floor rests on, beside the
// table and the members' progress.
type Collecting struct {
	NowMillis int64 // the leader's clock
	// GraceMillis is for how long a tip stays, unless there are too many.
	GraceMillis int64
	// Bases are those of the pushes in flight here, which would have to be signed again.
	Bases []uint64
}

// Collect decides which floor the leader should propose; zero: none.
//
// It stays at or below what every member's disk holds, so that one that lags
// finds the objects of the entries it still needs. Two kinds of members don't
// count: those so far behind that they get the table and its objects at once,
// and, where there are too many tips, all; the log is forgotten up to the floor,
// so they get the table as well. See [Group.Compact].
func (g *Group) Collect(c Collecting) uint64 {
	term, leading := g.Leading()
	first, err := g.log.FirstIndex()
	if err != nil || !leading || g.table.Term() != term {
		return 0 // a new leader commits an entry of its own first
	}
	limit, match := g.table.Index(), g.table.Index()
	for _, base := range c.Bases {
		limit = min(limit, base)
	}
	for _, m := range g.State().Members {
		if m.Match+1 >= first {
			match = min(match, m.Match)
		}
	}
	return g.table.floorFor(limit, match, c.NowMillis-c.GraceMillis)
}

// floorFor is the highest floor that drops what may go, and not too much at
// once. match and stampMillis count only while there are not too many tips.
func (t *Table) floorFor(limit, match uint64, stampMillis int64) (floor uint64) {
	for i, r := range t.retired {
		mayGo := len(t.retired)-i > RetiredMax || r.GetIndex() <= match && r.GetStampUnixMs() <= stampMillis
		if !mayGo || r.GetIndex() > limit || i >= collectMax && r.GetIndex() != floor {
			return floor
		}
		floor = r.GetIndex()
	}
	return floor
}
