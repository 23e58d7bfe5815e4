package replica

import (
	"testing"

	"peer/wire"
)

// TestStates fills the ring and looks at what it still knows.
func TestStates(t *testing.T) {
	table := newBench(t).table
	const first, n = 7, 3*statesKept + 5
	var s states
	if s.at(0) != nil || s.at(1) != nil {
		t.Error("an empty ring knows something")
	}
	for i := uint64(first); i < first+n; i++ {
		table.meta.Index = i
		s.add(table)
		oldest := max(first, int(i)-statesKept+1)
		for _, index := range []uint64{uint64(oldest), i, (uint64(oldest) + i) / 2} {
			if s.at(index).GetIndex() != index {
				t.Fatalf("at %d of %d to %d: %v", index, oldest, i, s.at(index))
			}
		}
		if s.at(uint64(oldest)-1) != nil || s.at(i+1) != nil {
			t.Fatalf("with %d to %d it knows one more", oldest, i)
		}
	}
}

// TestDifference applies entries whose leader had this table, another one, or
// one of a time that nobody remembers.
func TestDifference(t *testing.T) {
	g := newFollower(t)
	here := g.StateAt(firstIndex)
	if here == nil || !SameState(here, g.table.State()) {
		t.Fatalf("a member that starts remembers %v", here)
	}
	other := &wire.StateHash{Index: firstIndex, Chain: here.GetChain(), Refs: make([]byte, 32)}
	for name, c := range map[string]struct {
		there   *wire.StateHash
		differs bool
	}{
		"none": {nil, false}, "the same": {here, false}, "other refs": {other, true},
		"other chain": {&wire.StateHash{Index: firstIndex, Refs: here.GetRefs()}, true},
		"forgotten":   {&wire.StateHash{Index: 0}, false}, "to come": {&wire.StateHash{Index: 99}, false},
	} {
		if d := g.compare(2, c.there); (d != nil) != c.differs {
			t.Errorf("%s: %v", name, d)
		}
	}
}

// TestJudge goes through all answers that a group can give.
func TestJudge(t *testing.T) {
	for members := 1; members <= MembersMax; members++ {
		for same := 0; same < members; same++ {
			for other := 0; same+other < members; other++ {
				want := Undecided
				if 2*(same+1) > members {
					want = Right
				}
				if 2*other > members {
					want = Wrong
				}
				if got := Judge(members, same, other); got != want {
					t.Errorf("%d members, %d the same, %d another: %d, want %d", members, same, other, got, want)
				}
			}
		}
	}
}
