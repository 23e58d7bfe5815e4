package replica

import (
	"slices"
	"testing"

	"peer/wire"
)

func (b *bench) collect(floor uint64) Applied {
	b.Helper()
	done, err := b.table.Apply(b.table.Index()+1, 1, encode(&wire.Entry{Version: groupEntryVersion, StampUnixMs: b.stamp, Collect: &wire.Collect{Floor: floor}}))
	if err != nil {
		b.Fatal(err)
	}
	b.store(b.table.drain())
	b.checkStored()
	return done
}

func retiredAt(t *Table) (indexes []uint64) {
	for _, r := range t.Retired() {
		indexes = append(indexes, r.GetIndex())
	}
	return indexes
}

// TestRetired checks what becomes a retired tip, and that a floor drops those up
// to it and no others.
func TestRetired(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1), move("heads/a", 0, 2)) // entry 2: creations retire nothing
	b.must(move("heads/main", 1, 3))                        // 3
	b.must(move("heads/a", 2, 0))                           // 4
	b.must(move("heads/main", 3, 3))                        // 5: set to what it was
	b.must(move("heads/main", 3, 4), move("heads/b", 0, 1)) // 6
	if got, want := retiredAt(b.table), []uint64{3, 4, 6}; !slices.Equal(got, want) {
		t.Fatalf("tips retired at %v, want %v", got, want)
	}
	for _, c := range []struct {
		propose, floor uint64
		left           []uint64
	}{
		{7, 0, []uint64{3, 4, 6}}, // its own index: nobody could have a base
		{99, 0, []uint64{3, 4, 6}},
		{3, 3, []uint64{4, 6}},
		{2, 3, []uint64{4, 6}}, // never back
		{3, 3, []uint64{4, 6}},
		{5, 5, []uint64{6}},
		{12, 12, nil}, // by entry 13
	} {
		before := b.table.Floor()
		done := b.collect(c.propose)
		if got := retiredAt(b.table); b.table.Floor() != c.floor || !slices.Equal(got, c.left) {
			t.Errorf("a floor of %d: %d with tips of %v, want %d and %v", c.propose, b.table.Floor(), got, c.floor, c.left)
		}
		said := uint64(0)
		if c.floor != before {
			said = c.floor
		}
		if done.Floor != said || done.Outcome != nil {
			t.Errorf("a floor of %d: applied %+v", c.propose, done)
		}
	}
}

// TestCollectTooMany has a leader drop as many tips as fit one write, and more.
func TestCollectTooMany(t *testing.T) {
	for more, want := range []int{0, collectMax + OperationsMax + 1} {
		b := newBench(t)
		b.skipTo(20)
		for i := range collectMax + OperationsMax + more {
			b.table.retired = append(b.table.retired, retiredTip{&wire.Retired{Oid: oid(1), Index: 10}, uint32(i)})
		}
		done, err := b.table.Apply(21, 1, encode(&wire.Entry{Version: groupEntryVersion, Collect: &wire.Collect{Floor: 10}}))
		if err != nil {
			t.Fatal(err)
		}
		changes, moved := len(b.table.drain()), done.Floor == 10 && b.table.Floor() == 10
		if left := len(b.table.retired); left != want || moved != (want == 0) || changes > entryChangesMax {
			t.Errorf("%d more: %d tips are left, %d changes, floor %d", more, left, changes, b.table.Floor())
		}
	}
}

// TestListAgain checks at which base a transaction is too old.
func TestListAgain(t *testing.T) {
	for _, c := range []struct {
		base uint64
		want wire.Code
	}{{2, wire.Code_CODE_LIST_AGAIN}, {3, wire.Code_CODE_OK}, {4, wire.Code_CODE_OK}} {
		b := newBench(t)
		b.must(move("heads/main", 0, 1))
		b.must(move("heads/main", 1, 2))
		b.collect(3)
		tx := b.draft(writer, move("heads/x", 0, 2))
		tx.Base = c.base
		if got := b.table.Courtesy(writer.Public(), tx).GetCode(); got != c.want {
			t.Errorf("base %d: courtesy says %s, want %s", c.base, got, c.want)
		}
		data := b.entry(writer, tx)
		for n, want := range []bool{false, true} { // the outcome is kept
			done, err := b.table.Apply(b.table.Index()+1, 1, data)
			if err != nil {
				t.Fatal(err)
			}
			if got := done.Outcome.GetResult().GetCode(); got != c.want || done.Repeat != want {
				t.Errorf("base %d, time %d: %s, repeat %v, want %s", c.base, n+1, got, done.Repeat, c.want)
			}
		}
	}
}

// TestEntryKinds checks which entries stop a replica: it must not take one of a later
// kind for something else.
func TestEntryKinds(t *testing.T) {
	signed := &wire.Signed{Body: []byte("x")}
	for name, c := range map[string]struct {
		entry *wire.Entry
		known bool
	}{
		"collect":                  {&wire.Entry{Version: 2, Collect: &wire.Collect{Floor: 1}}, true},
		"collect as a transaction": {&wire.Entry{Version: 1, Collect: &wire.Collect{Floor: 1}}, true}, // malformed, as for those who know no collect
		"transaction":              {&wire.Entry{Version: 1, Transaction: signed}, true},
		"nothing":                  {&wire.Entry{Version: 1}, true},
		"a later kind":             {&wire.Entry{Version: 2}, false},
		"both":                     {&wire.Entry{Version: 2, Transaction: signed, Collect: &wire.Collect{}}, false},
		"a payload of nobody":      {&wire.Entry{Version: 2, Payload: &wire.Payload{}, Collect: &wire.Collect{}}, false},
		"a later version":          {&wire.Entry{Version: 3, Collect: &wire.Collect{}}, false},
	} {
		b := newBench(t)
		b.must(move("heads/main", 0, 1))
		done, err := b.table.Apply(3, 1, encode(c.entry))
		if (err == nil) != c.known {
			t.Errorf("%s: %v", name, err)
		}
		if malformed := c.entry.GetVersion() == 1; c.known && (done.Outcome.GetResult().GetCode() == wire.Code_CODE_MALFORMED) != malformed {
			t.Errorf("%s: outcome %v", name, done.Outcome)
		}
	}
}

// TestSnapshotRetired checks which retired tips a member may be sent.
func TestSnapshotRetired(t *testing.T) {
	oid := make([]byte, 20)
	for name, c := range map[string]struct {
		tips []*wire.Retired
		ok   bool
	}{
		"in order":         {[]*wire.Retired{{Oid: oid, Index: 3}, {Oid: oid, Index: 3}, {Oid: oid, Index: 4}}, true},
		"out of order":     {[]*wire.Retired{{Oid: oid, Index: 4}, {Oid: oid, Index: 3}}, false},
		"at the floor":     {[]*wire.Retired{{Oid: oid, Index: 2}}, false},
		"from the future":  {[]*wire.Retired{{Oid: oid, Index: 6}}, false},
		"a short object":   {[]*wire.Retired{{Oid: oid[:19], Index: 3}}, false},
		"no object at all": {[]*wire.Retired{{Index: 3}}, false},
	} {
		b := newBench(t)
		for n := range byte(3) {
			b.must(move("heads/main", n, n+1))
		}
		b.collect(2)
		s := b.table.Snapshot()
		s.Retired = c.tips
		table, err := fromSnapshot(s, b.table.genesis, testRules)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok {
			again, err := LoadTable(scanChanges(table.drain()), testRules)
			if err != nil || string(encode(again.Snapshot())) != string(encode(s)) {
				t.Errorf("%s: stored and loaded it is another table: %v", name, err)
			}
		}
	}
}

// TestFloorFor checks the leader's choice.
func TestFloorFor(t *testing.T) {
	tips := func(n int) (list []retiredTip) {
		for i := range n {
			list = append(list, retiredTip{Retired: &wire.Retired{Index: uint64(10 + i), StampUnixMs: int64(1000 + i)}})
		}
		return list
	}
	same := tips(collectMax + RetiredMax + 10)
	for _, r := range same[100:] {
		r.Index, r.StampUnixMs = 110, 1100
	}
	const all = 1 << 40
	for name, c := range map[string]struct {
		tips         []retiredTip
		limit, match uint64
		stamp        int64
		want         uint64
	}{
		"nothing retired":          {nil, all, all, all, 0},
		"too young":                {tips(5), all, all, 999, 0},
		"some are old":             {tips(5), all, all, 1002, 12},
		"all are old":              {tips(5), all, all, 1004, 14},
		"a member lags":            {tips(5), all, 11, 1004, 11},
		"a member lags far":        {tips(5), all, 9, 1004, 0},
		"a push in flight":         {tips(5), 13, all, 1004, 13},
		"too many":                 {tips(RetiredMax + 3), all, 0, 0, 12},
		"too many, push in flight": {tips(RetiredMax + 3), 11, 0, 0, 11},
		"no more than too many":    {tips(RetiredMax), all, 0, 0, 0},
		"a lot at once":            {tips(3 * collectMax), all, all, all, 10 + collectMax - 1},
		"a lot in one entry":       {same, all, all, all, 110},
	} {
		if got := (&Table{retired: c.tips}).floorFor(c.limit, c.match, c.stamp); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
