package replica

import (
	"bytes"
	"crypto/sha256"

	"peer/wire"
)

// statesKept is how many states a member remembers: more than there are
// proposals in flight, since one leader serves fewer sessions than this.
const statesKept = 1024

// states remembers what the table was after each of the last entries.
type states struct {
	list []tableState // a ring once it is full
	next int
}

// tableState is what a table was, and what its readers are told.
type tableState struct {
	*wire.StateHash
	root    [sha256.Size]byte
	policy  *wire.Policy
	lineage *Lineage
}

func (s *states) add(t *Table) {
	h := tableState{t.State(), t.Root(), t.policy.wire, t.members.Lineage}
	if len(s.list) < statesKept {
		s.list = append(s.list, h)
		return
	}
	s.list[s.next] = h
	s.next = (s.next + 1) % statesKept
}

// at is nil where the index has been forgotten, or is yet to come.
func (s *states) at(index uint64) *wire.StateHash { return s.all(index).StateHash }

func (s *states) all(index uint64) (none tableState) {
	if len(s.list) == 0 {
		return none
	}
	oldest := s.list[s.next%len(s.list)].GetIndex() // indexes are added without a gap
	if index < oldest || index >= oldest+uint64(len(s.list)) {
		return none
	}
	return s.list[(s.next+int(index-oldest))%len(s.list)]
}

// SameState says whether two states of one index are one.
func SameState(a, b *wire.StateHash) bool {
	return a.GetIndex() == b.GetIndex() && bytes.Equal(a.GetChain(), b.GetChain()) && bytes.Equal(a.GetRefs(), b.GetRefs())
}

// Difference says that the leader that proposed an entry had another table than
// this member. One of the two is damaged; Judge says which.
type Difference struct {
	Entry uint64          // that told
	Here  *wire.StateHash // at the index before it that the leader had applied
}

// StateAt is what the table was after an entry; nil where that was forgotten.
func (g *Group) StateAt(index uint64) *wire.StateHash { return g.states.at(index) }

// compare holds an entry's account of the leader's table against this one.
func (g *Group) compare(entry uint64, there *wire.StateHash) *Difference {
	here := g.states.at(there.GetIndex())
	if there == nil || here == nil || SameState(here, there) {
		return nil
	}
	return &Difference{Entry: entry, Here: here}
}

// Verdict says whose table is damaged.
type Verdict int

// A member whose table differs from another's is Right with a majority of the
// group behind it, itself included, and Wrong with a majority against it.
const (
	Undecided Verdict = iota
	Right
	Wrong
)

// Judge counts voices: how many of the other members have the same table, and
// how many another.
func Judge(members, same, other int) Verdict {
	switch majority := members/2 + 1; {
	case other >= majority:
		return Wrong
	case same+1 >= majority:
		return Right
	}
	return Undecided
}
