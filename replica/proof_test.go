package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// rootOf is a table's root, worked out from nothing.
func rootOf(t *Table) [sha256.Size]byte {
	var elements [][sha256.Size]byte
	for _, r := range t.Refs() {
		elements = append(elements, RefElement(r.GetName(), r.GetOid(), r.GetIndex()))
	}
	return Root(elements, t.Head())
}

// wantProofs checks that a table's root is that of its refs, and that it keeps what
// proves them: for every ref, and nothing else.
func (b *bench) wantProofs(t *Table) {
	b.Helper()
	if t.Root() != rootOf(t) {
		b.Error("the root is not that of the refs")
	}
	v := b.vouched(t, 1, 2)
	needed := map[uint64]bool{}
	for _, r := range t.Refs() {
		needed[r.GetIndex()] = true
		kept := t.Kept([]uint64{r.GetIndex()})
		if len(kept) != 1 {
			b.Errorf("nothing is kept for %s, set by entry %d", r.GetName(), r.GetIndex())
			continue
		}
		p, err := ParseKept(t.genesis, kept[0])
		if err != nil {
			b.Fatal(err)
		}
		if known, err := v.Proves(p, r.GetName(), r.GetOid()); !known || err != nil {
			b.Errorf("%s at entry %d: known %v, %v", r.GetName(), r.GetIndex(), known, err)
		}
	}
	if len(needed) != len(t.kept.by) {
		b.Errorf("transactions of entries %v are kept, needed are %v", slices.Sorted(maps.Keys(t.kept.by)), slices.Sorted(maps.Keys(needed)))
	}
}

// claim is what a table's owner would say, and vouched what a reader makes of it.
func claimOf(t *Table) *Claim {
	return &Claim{
		Lineage: t.members.Lineage, Index: t.Index(), Chain: [sha256.Size]byte(t.Chain()), Refs: t.Root(),
		Policy: t.policy.wire, changes: t.kept.changes,
	}
}

func (b *bench) vouched(t *Table, seats ...uint64) *Vouched {
	b.Helper()
	v, err := ParseVouched(t.genesis, proto.CloneOf(claimOf(t).Wire(signClaim(claimOf(t), seats...))), testRules)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

func signClaim(c *Claim, seats ...uint64) (list []*wire.Endorsement) {
	for _, seat := range seats {
		list = append(list, c.Sign(seatKey(seat)))
	}
	return list
}

// TestKept moves refs about and looks at what is kept: in memory, in the store and in a
// snapshot.
func TestKept(t *testing.T) {
	b := newBench(t)
	look := func() {
		t.Helper()
		b.wantProofs(b.table)
		b.wantProofs(b.load())
		s := new(wire.TableSnapshot)
		if err := proto.Unmarshal(encode(b.table.Snapshot()), s); err != nil {
			t.Fatal(err)
		}
		installed, err := fromSnapshot(s, b.table.genesis, testRules)
		if err != nil {
			t.Fatal(err)
		}
		b.wantProofs(installed)
		b.checkStored()
	}
	look()
	b.must(move("heads/main", 0, 1), move("heads/a", 0, 2), move("heads/b", 0, 3))
	look()
	b.must(move("heads/a", 2, 4))
	look()
	b.do(move("heads/a", 2, 5), move("heads/c", 0, 6)) // the first one is refused
	look()
	atomic := b.draft(writer, move("heads/c", 6, 7), move("heads/a", 9, 8))
	atomic.Atomic = true
	b.apply(writer, atomic) // all of it is
	look()
	b.must(move("heads/a", 4, 4)) // moves nothing, and yet names this entry
	look()
	b.wantCodes(b.do(move("heads/a", 9, 5), move("heads/a", 4, 6), move("heads/a", 4, 7)), stale, ok, malformed)
	look()
	b.must(move("heads/a", 6, 4))
	look()
	b.must(move("heads/b", 3, 0), move("heads/b/x", 0, 1))
	look()
	b.people()
	b.must(move("heads/main", 1, 2))
	look()
	b.change(grant(writer, asNobody))
	look() // what it pushed stays proved
	b.by(keeper, move("heads/c", 6, 0))
	look()
	heir := testKey(40)
	b.wantCodes(b.by(keeper, b.replacing(keeper, heir)), ok)
	b.wantCodes(b.by(heir, move("heads/d", 0, 1)), ok)
	look()
	if len(b.table.kept.changes) == 0 {
		t.Error("no change of the policy is kept")
	}
}

// TestKeptOfOldTables takes a table of a program that kept nothing.
func TestKeptOfOldTables(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	b.people()
	for key := range b.stored {
		if strings.HasPrefix(key, keyKept) || strings.HasPrefix(key, keyPolicyChange) {
			delete(b.stored, key)
		}
	}
	b.table = b.load()
	b.must(move("heads/a", 0, 2))
	b.by(keeper, move("heads/b", 0, 3))
	// A change that names the genesis, for one, and the policy of now in another part.
	stray := b.changing(grant(guest, asWriter))
	stray.GetChangePolicy().OldVersion = firstIndex
	b.wantCodes(b.by(owner, stray, b.changing(grant(writer, asNobody))), stale, ok)
	if len(b.table.kept.changes) > 0 {
		t.Error("changes of the policy are kept that don't lead on from the genesis")
	}
	v := b.vouched(b.table, 1, 2)
	for name, c := range map[string]struct{ kept, known bool }{
		"heads/main": {false, false}, "heads/a": {true, false}, "heads/b": {true, true},
	} {
		ref := b.table.refs["refs/"+name]
		list := b.table.Kept([]uint64{ref.GetIndex()})
		if len(list) > 0 != c.kept {
			t.Errorf("%s: %d transactions are kept", name, len(list))
			continue
		}
		if !c.kept {
			continue
		}
		p, err := ParseKept(b.table.genesis, list[0])
		if err != nil {
			t.Fatal(err)
		}
		// The writer lost its role, and nobody can say whether it had one then.
		if known, err := v.Proves(p, "refs/"+name, ref.GetOid()); err != nil || known != c.known {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
		// One voter alone could have made the policy up.
		if known, err := b.vouched(b.table, 3).Proves(p, "refs/"+name, ref.GetOid()); err != nil || known {
			t.Errorf("%s: known %v by the word of one, %v", name, known, err)
		}
	}
}

// TestChangeInAnOlderEntry has a leader put a change into an entry of a version in which
// not all of it is carried out.
func TestChangeInAnOlderEntry(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	change := b.changing(grant(guest, asReader))
	r, err := b.table.Genesis().Replacement(owner.Public(), testKey(40), b.table.Index()+1)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := Seal(owner, identity.DomainTransaction, b.draft(owner, change, &wire.Operation{Kind: &wire.Operation_ReplaceKey{ReplaceKey: r}}))
	if err != nil {
		t.Fatal(err)
	}
	done := b.commit(encode(&wire.Entry{Version: policyEntryVersion, StampUnixMs: b.stamp, Transaction: signed}))
	b.wantCodes(codes(done), ok, malformed)
	b.vouched(b.table, 1, 2) // it can be read by all the same
}

// TestKeptBound pushes more than is kept for good.
func TestKeptBound(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	for i := range 3 {
		b.table.putKept(uint64(1000+i), &wire.Signed{Body: make([]byte, keptBytesMax/3)})
		b.table.kept.refs[uint64(1000+i)] = 1 + 10*i
	}
	b.must(move("heads/a", 0, 1))
	b.must(move("heads/b", 0, 1))
	if b.table.kept.bytes > keptBytesMax || b.table.kept.by[1000] != nil || b.table.kept.by[1002] == nil || b.table.kept.by[2] == nil {
		t.Errorf("%d bytes are kept, of entries %v", b.table.kept.bytes, slices.Sorted(maps.Keys(b.table.kept.by)))
	}
}

// TestKeptBoundOfOneEntry has one entry change as much as any can: it moves as many refs as
// a transaction may, each set by an entry of its own, where no more transactions can be
// kept. Nothing that can't be written in one piece may ever be committed.
func TestKeptBoundOfOneEntry(t *testing.T) {
	b := newBench(t)
	small := &wire.Signed{Body: make([]byte, 142)} // as of a push of one ref
	name := func(i int) string { return fmt.Sprintf("heads/%064d", i) }
	var ops []*wire.Operation
	for i := range OperationsMax {
		ops = append(ops, move(name(i), 1, 2))
		b.table.putRef(&wire.Ref{Name: ops[i].GetRefUpdate().GetName(), Oid: oid(1), Index: uint64(1<<20 + i)})
		b.table.putKept(uint64(1<<20+i), small)
	}
	// Once these are moved there is room for some 1 MiB.
	for i := uint64(1 << 30); b.table.kept.bytes < keptBytesMax+OperationsMax*142-1<<20; i++ {
		b.table.putKept(i, small)
		b.table.kept.refs[i] = 1
	}
	before := len(b.table.kept.by)
	done, err := b.table.Apply(2, 1, b.entry(writer, b.draft(writer, ops...)))
	if err != nil || len(done.Refs) != OperationsMax {
		t.Fatalf("%d refs moved: %v", len(done.Refs), err)
	}
	changes := b.table.drain()
	bytes := 0
	for _, c := range changes {
		bytes += len(c.Key) + len(c.Value)
	}
	t.Logf("%d changes of %d bytes", len(changes), bytes)
	gone := before - OperationsMax - len(b.table.kept.by) + 1
	if len(changes) > entryChangesMax || bytes > entryBytesMax || gone < 1000 || len(changes) < 3*OperationsMax+gone {
		t.Errorf("%d changes of %d bytes, want %d and %d at most; %d transactions made room", len(changes), bytes, entryChangesMax, entryBytesMax, gone)
	}
	if b.table.kept.by[2] == nil || b.table.kept.bytes > keptBytesMax {
		t.Errorf("%d bytes are kept, with the new one: %v", b.table.kept.bytes, b.table.kept.by[2] != nil)
	}
}

// TestKeptBoundOfSmallOnes has too many others go before there is room for a transaction.
func TestKeptBoundOfSmallOnes(t *testing.T) {
	b := newBench(t)
	b.table.putKept(1<<20, &wire.Signed{Body: make([]byte, keptBytesMax-2*keptDropMax*10)})
	b.table.kept.refs[1<<20] = 1 << 40
	for i := range uint64(2 * keptDropMax) {
		b.table.putKept(1<<30+i, &wire.Signed{Body: make([]byte, 10)})
		b.table.kept.refs[1<<30+i] = 1
	}
	var ops []*wire.Operation
	for i := range OperationsMax {
		ops = append(ops, move(fmt.Sprintf("heads/%d", i), 0, 1))
	}
	b.table.kept.refs[2] = 1 << 30 // so that the others go first
	if _, err := b.table.Apply(2, 1, b.entry(writer, b.draft(writer, ops...))); err != nil {
		t.Fatal(err)
	}
	dropped := 0
	for _, c := range b.table.drain() {
		if c.Value == nil {
			dropped++
		}
	}
	if dropped > keptDropMax || b.table.kept.by[2] != nil || b.table.kept.by[1<<20] == nil || b.table.kept.bytes > keptBytesMax {
		t.Errorf("%d went, and %d bytes are left", dropped, b.table.kept.bytes)
	}
}

// TestTakesKept takes tables from others: what a table keeps comes whole, and never more
// than a table may keep.
func TestTakesKept(t *testing.T) {
	b := newBench(t)
	const full = keptBytesMax / (1 << 20) // transactions of 1 MiB each
	for i := range full + 1 {
		b.must(move(fmt.Sprintf("heads/%d", i), 0, 1))
	}
	first := b.table.Index() - full
	with := func(edit func(s *wire.TableSnapshot)) error {
		s := b.table.Snapshot()
		s.Kept = nil
		for i := range full {
			s.Kept = append(s.Kept, &wire.Kept{Index: first + uint64(i), Transaction: &wire.Signed{
				Body: make([]byte, 1<<20), Signer: make([]byte, 32), Signature: make([]byte, 64),
			}})
		}
		edit(s)
		_, err := fromSnapshot(s, b.table.genesis, testRules)
		return err
	}
	if err := with(func(*wire.TableSnapshot) {}); err != nil {
		t.Errorf("as much as is kept: %v", err)
	}
	for name, edit := range map[string]func(s *wire.TableSnapshot){
		"more in all": func(s *wire.TableSnapshot) {
			s.Kept = append(s.Kept, &wire.Kept{Index: first + full, Transaction: &wire.Signed{Body: []byte{1}}})
		},
		"more in one": func(s *wire.TableSnapshot) {
			s.Kept = s.Kept[:1]
			s.Kept[0].Transaction.Body = make([]byte, keptOneMax)
		},
		"more around one":      func(s *wire.TableSnapshot) { s.Kept[0].Transaction.Signature = make([]byte, 128) },
		"one twice":            func(s *wire.TableSnapshot) { s.Kept[1].Index = first },
		"one that set nothing": func(s *wire.TableSnapshot) { s.Kept = s.Kept[:1]; s.Kept[0].Index = b.table.Index() + 1 },
	} {
		if with(edit) == nil {
			t.Errorf("%s: it is taken", name)
		}
	}
}

// TestVouched checks claims that hold, and such that were edited, replayed or grafted.
func TestVouched(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	b.people()
	b.change(grant(stranger, asReader))
	older := claimOf(b.table)
	b.must(move("heads/main", 1, 2))
	c := claimOf(b.table)
	there := newProofs(t, "elsewhere")
	foreign := *c
	foreign.Lineage = there.g.Lineage()
	next := *c
	next.Lineage = mustWith(t, c.Lineage, 5, seatsOf(1, 2, 4), 1, 2)
	signed := func(c *Claim, seats ...uint64) *wire.Vouched { return proto.CloneOf(c.Wire(signClaim(c, seats...))) }
	edited := func(edit func(*wire.Vouched)) *wire.Vouched {
		v := signed(c, 1, 2)
		edit(v)
		return v
	}
	as := func(d identity.Domain) *wire.Endorsement {
		return &wire.Endorsement{RaftId: 2, Signature: seatKey(2).Sign(d, c.body())}
	}
	for name, c := range map[string]struct {
		v        *wire.Vouched
		ok, most bool
	}{
		"a majority":         {signed(c, 1, 3), true, true},
		"all":                {signed(c, 1, 2, 3), true, true},
		"one":                {signed(c, 2), true, false},
		"nobody":             {signed(c), true, false},
		"next configuration": {signed(&next, 1, 4), true, true},
		"one twice":          {signed(c, 1, 1), false, false},
		"one who left":       {edited(func(v *wire.Vouched) { v.Lineage = next.Lineage.Wire() }), false, false},
		"no voter": {edited(func(v *wire.Vouched) {
			v.Signatures[1] = &wire.Endorsement{RaftId: 9, Signature: seatKey(9).Sign(identity.DomainClaim, c.body())}
		}), false, false},
		"other's seat":             {edited(func(v *wire.Vouched) { v.Signatures[1].RaftId = 3 }), false, false},
		"other repository":         {edited(func(v *wire.Vouched) { v.Signatures = signClaim(&foreign, 1, 2) }), false, false},
		"an older one":             {edited(func(v *wire.Vouched) { v.Signatures = signClaim(older, 1, 2) }), false, false},
		"older, and the index":     {edited(func(v *wire.Vouched) { v.Signatures, v.Index = signClaim(older, 1, 2), older.Index }), false, false},
		"as a receipt":             {edited(func(v *wire.Vouched) { v.Signatures[1] = as(identity.DomainReceipt) }), false, false},
		"as a configuration":       {edited(func(v *wire.Vouched) { v.Signatures[1] = as(identity.DomainConfiguration) }), false, false},
		"other index":              {edited(func(v *wire.Vouched) { v.Index++ }), false, false},
		"other chain":              {edited(func(v *wire.Vouched) { v.Chain[0] ^= 1 }), false, false},
		"other refs":               {edited(func(v *wire.Vouched) { v.Refs[0] ^= 1 }), false, false},
		"other policy":             {edited(func(v *wire.Vouched) { v.Policy.Grants = v.Policy.Grants[1:] }), false, false},
		"no policy":                {edited(func(v *wire.Vouched) { v.Policy = nil }), false, false},
		"no change was kept":       {edited(func(v *wire.Vouched) { v.PolicyChanges = nil }), true, true},
		"a change left out":        {edited(func(v *wire.Vouched) { v.PolicyChanges = v.PolicyChanges[1:] }), false, false},
		"the last change left out": {edited(func(v *wire.Vouched) { v.PolicyChanges = v.PolicyChanges[:1] }), false, false},
		"a change twice":           {edited(func(v *wire.Vouched) { v.PolicyChanges = append(v.PolicyChanges, v.PolicyChanges[0]) }), false, false},
		"a change unsigned":        {edited(func(v *wire.Vouched) { v.PolicyChanges[0].Transaction.Signature[3] ^= 1 }), false, false},
		"a change elsewhere":       {edited(func(v *wire.Vouched) { v.PolicyChanges[0].Index++ }), false, false},
		"short":                    {edited(func(v *wire.Vouched) { v.Chain = v.Chain[1:] }), false, false},
	} {
		v, err := ParseVouched(b.table.genesis, c.v, testRules)
		if err == nil != c.ok || err == nil && v.Majority() != c.most {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && !errors.Is(err, ErrVouched) && name != "" {
			t.Errorf("%s: %v is no ErrVouched", name, err)
		}
	}
}

// TestProves holds refs against transactions that are theirs, or another's, or of who
// may not.
func TestProves(t *testing.T) {
	b := newBench(t)
	b.people()
	b.must(move("heads/main", 0, 1), move("heads/a", 0, 1))
	at := b.table.Index()
	b.change(protect("refs/heads/kept", asMaintainer))
	b.change(grant(writer, asNobody))
	v := b.vouched(b.table, 1, 2)
	kept := func(index uint64, by identity.Key, edit func(*wire.Transaction)) *wire.Kept {
		tx := b.draft(by, move("heads/main", 0, 1), move("heads/kept", 0, 1), move("heads/gone", 1, 0))
		tx.Base = 0
		edit(tx)
		signed, err := Seal(by, identity.DomainTransaction, tx)
		if err != nil {
			t.Fatal(err)
		}
		return &wire.Kept{Index: index, Transaction: signed}
	}
	same := func(*wire.Transaction) {}
	unsigned := kept(at, writer, same)
	unsigned.Transaction.Signature[5] ^= 1
	stranger := stranger
	for name, c := range map[string]struct {
		k   *wire.Kept
		ref string
		oid byte
		ok  bool
	}{
		"as it was":             {b.table.Kept([]uint64{at})[0], "heads/a", 1, true},
		"by who might then":     {kept(at, writer, same), "heads/main", 1, true},
		"other ref":             {kept(at, writer, same), "heads/b", 1, false},
		"other object":          {kept(at, writer, same), "heads/main", 2, false},
		"a deletion":            {kept(at, writer, same), "heads/gone", 0, false},
		"a stranger":            {kept(at, stranger, same), "heads/main", 1, false},
		"a reader":              {kept(at, guest, same), "heads/main", 1, false},
		"denied since":          {kept(b.table.Index()+1, writer, same), "heads/main", 1, false},
		"after the listing":     {kept(b.table.Index()+1, owner, same), "heads/main", 1, false},
		"no entry":              {kept(1, owner, same), "heads/main", 1, false},
		"protected later":       {kept(at, writer, same), "heads/kept", 1, true},
		"protected":             {kept(at+2, writer, same), "heads/kept", 1, false},
		"protected, by who may": {kept(at+2, keeper, same), "heads/kept", 1, true},
		"other repository":      {kept(at, writer, func(tx *wire.Transaction) { tx.Genesis = make([]byte, 32) }), "heads/main", 1, false},
		"in another's name":     {kept(at, stranger, func(tx *wire.Transaction) { p := writer.Public(); tx.Signer = p[:] }), "heads/main", 1, false},
		"before its base":       {kept(at, writer, func(tx *wire.Transaction) { tx.Base = at }), "heads/main", 1, false},
		"after its window":      {kept(at, writer, func(tx *wire.Transaction) { tx.Window = 1 }), "heads/main", 1, false},
		"unsigned":              {unsigned, "heads/main", 1, false},
		"nothing":               {&wire.Kept{Index: at}, "heads/main", 1, false},
	} {
		p, err := ParseKept(b.table.genesis, c.k)
		if err == nil {
			var known bool
			if known, err = v.Proves(p, "refs/"+c.ref, oid(c.oid)); err == nil && !known {
				err = errors.New("not known")
			}
		}
		if err == nil != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestGoesOnFrom asks of a transaction that was signed at index 5, and moved main from 1 to
// 2, whether it may be what moved main after an entry.
func TestGoesOnFrom(t *testing.T) {
	b := newBench(t)
	tx := b.draft(writer, move("heads/main", 1, 2), move("heads/a", 3, 4), move("heads/new", 0, 2))
	tx.Base, tx.Window = 5, 100
	signed, err := Seal(writer, identity.DomainTransaction, tx)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ParseKept(b.table.genesis, &wire.Kept{Index: 20, Transaction: signed})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		index uint64
		ref   string
		from  []byte
		ok    bool
	}{
		{0, "main", nil, true}, {5, "main", oid(9), true}, {6, "main", oid(9), false}, {6, "main", nil, false},
		{6, "main", oid(1), true}, {6, "main", oid(3), false}, {6, "new", nil, true}, {6, "new", oid(1), false},
	} {
		if got := p.GoesOnFrom(c.index, c.from, "refs/heads/"+c.ref, oid(2)); got != c.ok {
			t.Errorf("after entry %d, which had %s at %x: %v", c.index, c.ref, c.from, got)
		}
	}
}

// FuzzParseVouched gives readers claims from outside. What holds says the same again.
func FuzzParseVouched(f *testing.F) {
	b := newBench(f)
	b.must(move("heads/main", 0, 1))
	b.people()
	c := claimOf(b.table)
	f.Add(encode(c.Wire(signClaim(c, 1, 2))))
	c.Lineage = mustWith(f, c.Lineage, 5, seatsOf(1, 2, 4), 1, 2)
	f.Add(encode(c.Wire(signClaim(c, 1, 4))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := new(wire.Vouched)
		if proto.Unmarshal(data, raw) != nil {
			return
		}
		v, err := ParseVouched(b.table.genesis, raw, testRules)
		if err != nil {
			return
		}
		again, err := ParseVouched(b.table.genesis, v.Wire(raw.GetSignatures()), testRules)
		if err != nil || again.Refs != v.Refs || again.Index != v.Index || len(again.Signers) != len(raw.GetSignatures()) || again.Majority() != v.Majority() {
			t.Errorf("parsed twice: %v, %v", again, err)
		}
	})
}

// FuzzParseKept gives readers transactions. Only what a key of the policy signed for a
// ref proves it.
func FuzzParseKept(f *testing.F) {
	b := newBench(f)
	b.must(move("heads/main", 0, 1))
	v := b.vouched(b.table, 1, 2)
	f.Add(encode(b.table.Kept([]uint64{2})[0]), byte(0))
	f.Add(encode(b.draft(writer, move("heads/main", 0, 1))), byte(1))
	f.Add(encode(b.draft(stranger, move("heads/main", 0, 1))), byte(2))
	f.Fuzz(func(t *testing.T, data []byte, by byte) {
		k := &wire.Kept{Index: 2, Transaction: new(wire.Signed)}
		if key := map[byte]identity.Key{1: writer, 2: stranger}[by]; by > 0 && by < 3 {
			public := key.Public()
			k.Transaction = &wire.Signed{Body: data, Signer: public[:], Signature: key.Sign(identity.DomainTransaction, data)}
		} else if proto.Unmarshal(data, k) != nil {
			return
		}
		p, err := ParseKept(b.table.genesis, k)
		if err != nil {
			return
		}
		for name, list := range p.updates {
			if known, err := v.Proves(p, name, list[0].GetNew()); err == nil && (!known || p.signer != writer.Public() && p.signer != owner.Public()) {
				t.Errorf("%s is proved by %s", name, p.signer.DID())
			}
		}
	})
}

// Benchmarks of what a reader does for each ref.
func BenchmarkRoot(b *testing.B) {
	for b.Loop() {
		elements := make([][sha256.Size]byte, 100_000)
		for i := range elements {
			elements[i] = RefElement("refs/heads/some/branch/of/a/name", oid(1), uint64(i))
		}
		Root(elements, mainBranch)
	}
}

func BenchmarkLtHash(b *testing.B) {
	h := new(refsHash)
	for b.Loop() {
		h.add(expand(elementRef, "refs/heads/some/branch/of/a/name", oid(1)))
	}
}
