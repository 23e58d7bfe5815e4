package replica

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// TestTransactions covers what is decided about a transaction as a whole.
func TestTransactions(t *testing.T) {
	many := make([]*wire.Operation, OperationsMax+1)
	for i := range many {
		many[i] = move("heads/main", 7, 8)
	}
	other := stranger.Public()
	for _, c := range []struct {
		name string
		by   identity.Key
		edit func(*wire.Transaction)
		want wire.Code
		// kept: the table remembers the outcome.
		kept bool
	}{
		{"as it should be", writer, func(*wire.Transaction) {}, ok, true},
		{"owner, who is no writer", owner, func(*wire.Transaction) {}, ok, true},
		{"stranger", stranger, func(*wire.Transaction) {}, wire.Code_CODE_NOT_ALLOWED, true},
		{"other genesis", writer, func(tx *wire.Transaction) { tx.Genesis = make([]byte, 32) }, malformed, false},
		{"no genesis", writer, func(tx *wire.Transaction) { tx.Genesis = nil }, malformed, false},
		{"other signer named", writer, func(tx *wire.Transaction) { tx.Signer = other[:] }, malformed, false},
		{"no signer named", writer, func(tx *wire.Transaction) { tx.Signer = nil }, malformed, false},
		{"no ID", writer, func(tx *wire.Transaction) { tx.Id = nil }, malformed, false},
		{"short ID", writer, func(tx *wire.Transaction) { tx.Id = tx.Id[1:] }, malformed, false},
		{"long ID", writer, func(tx *wire.Transaction) { tx.Id = append(tx.Id, 0) }, malformed, false},
		{"no operation", writer, func(tx *wire.Transaction) { tx.Operations = nil }, malformed, false},
		{"as many operations as may be", writer, func(tx *wire.Transaction) { tx.Operations = many[1:] }, ok, true},
		{"too many operations", writer, func(tx *wire.Transaction) { tx.Operations = many }, malformed, false},
		{"no window", writer, func(tx *wire.Transaction) { tx.Window = 0 }, malformed, false},
		{"too long a window", writer, func(tx *wire.Transaction) { tx.Window = WindowMax + 1 }, malformed, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.skipTo(3)
			tx := b.draft(c.by, move("heads/main", 0, 1))
			c.edit(tx)
			done := b.apply(c.by, tx)
			if got := done.Outcome.GetResult().GetCode(); got != c.want {
				t.Fatalf("%s (%s), want %s", got, done.Outcome.GetResult().GetDetail(), c.want)
			}
			if done.Outcome.GetIndex() != 4 || done.Repeat {
				t.Errorf("outcome of entry %d, repeat %v", done.Outcome.GetIndex(), done.Repeat)
			}
			if c.want != ok && (b.refs() != "" || len(done.Refs) > 0) {
				t.Errorf("a refused transaction moved %q", b.refs())
			}
			if kept := b.table.Outcome(c.by.Public(), tx.GetId()) != nil; kept != c.kept {
				t.Errorf("outcome kept: %v, want %v", kept, c.kept)
			}
			b.checkStored()
		})
	}
}

// TestUnsigned checks that bytes nobody vouches for leave no trace but the position.
func TestUnsigned(t *testing.T) {
	b := newBench(t)
	signed, err := Seal(writer, identity.DomainTransaction, b.draft(writer, move("heads/main", 0, 1)))
	if err != nil {
		t.Fatal(err)
	}
	flipped := func(raw []byte) []byte { raw = bytes.Clone(raw); raw[len(raw)/2] ^= 1; return raw }
	other := stranger.Public()
	body := []byte("no transaction")
	for name, s := range map[string]*wire.Signed{
		"nothing":          nil,
		"no signature":     {Body: signed.Body, Signer: signed.Signer},
		"flipped":          {Body: signed.Body, Signer: signed.Signer, Signature: flipped(signed.Signature)},
		"other body":       {Body: flipped(signed.Body), Signer: signed.Signer, Signature: signed.Signature},
		"other signer":     {Body: signed.Body, Signer: other[:], Signature: signed.Signature},
		"short signer":     {Body: signed.Body, Signer: signed.Signer[1:], Signature: signed.Signature},
		"other domain":     {Body: signed.Body, Signer: signed.Signer, Signature: writer.Sign(identity.DomainHello, signed.Body)},
		"signed, no sense": {Body: body, Signer: signed.Signer, Signature: writer.Sign(identity.DomainTransaction, body)},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(b.stored)
			done := b.commit(encode(&wire.Entry{Version: entryVersion, Transaction: s}))
			if done.Outcome.GetResult().GetCode() != malformed || len(done.Refs) > 0 {
				t.Errorf("outcome %v, changes %v", done.Outcome, done.Refs)
			}
			if len(b.stored) != before || len(b.table.outcomes) != 0 || b.refs() != "" {
				t.Errorf("%d keys in the store, %d before", len(b.stored), before)
			}
		})
	}
	// The same transaction, unharmed, still succeeds.
	if done := b.commit(encode(&wire.Entry{Version: entryVersion, Transaction: signed})); done.Outcome.GetResult().GetCode() != ok || len(done.Refs) != 1 {
		t.Errorf("outcome %v", done.Outcome)
	}
}

// TestUnknownEntries checks that a replica stops where it would have to guess.
func TestUnknownEntries(t *testing.T) {
	for name, c := range map[string]struct {
		data    []byte
		upgrade bool
	}{
		"later version": {encode(&wire.Entry{Version: entryVersion + 1}), true},
		"no version":    {encode(&wire.Entry{StampUnixMs: 1}), true},
		"no entry":      {[]byte{0xff, 0xff}, false},
	} {
		b := newBench(t)
		before := encode(b.table.Snapshot())
		_, err := b.table.Apply(2, 1, c.data)
		if err == nil || errors.Is(err, ErrUpgrade) != c.upgrade {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(encode(b.table.Snapshot()), before) || len(b.table.drain()) != 0 {
			t.Errorf("%s: the table changed", name)
		}
	}
}

// TestWindow commits at the edges of (base, base+window].
func TestWindow(t *testing.T) {
	const base = 10
	for at, want := range map[uint64]wire.Code{
		base + 1: ok,
		base + 5: ok, base + 6: wire.Code_CODE_EXPIRED, base + 50: wire.Code_CODE_EXPIRED,
	} {
		b := newBench(t)
		b.skipTo(at - 1)
		tx := b.draft(writer, move("heads/main", 0, 1))
		tx.Base, tx.Window = base, 5
		if got := b.apply(writer, tx).Outcome.GetResult().GetCode(); got != want {
			t.Errorf("base %d, window %d, committed at %d: %s, want %s", base, 5, at, got, want)
		}
	}
}

// TestBaseToCome applies a transaction whose base is yet to come: it is not decided,
// since it may be later. What was refused once must never be carried out.
func TestBaseToCome(t *testing.T) {
	for _, ahead := range []uint64{1, WindowMax, math.MaxUint64 - 100, math.MaxUint64 - 4} {
		b := newBench(t)
		b.skipTo(3)
		tx := b.draft(writer, move("heads/main", 0, 1))
		tx.Base = 4 + ahead // as of entry 4
		data := b.entry(writer, tx)
		if done := b.commit(data); done.Outcome != nil || len(done.Refs) > 0 || b.table.Outcome(writer.Public(), tx.GetId()) != nil {
			t.Errorf("%d ahead: %+v", ahead, done)
		}
		if b.checkStored(); ahead > WindowMax {
			continue
		}
		b.skipTo(4 + WindowMax) // what was kept of entry 4 is forgotten
		b.skipTo(max(b.table.Index(), tx.GetBase()))
		if done := b.commit(data); done.Outcome.GetResult().GetCode() != ok || done.Repeat {
			t.Errorf("%d ahead, at entry %d: %v", ahead, done.Index, done.Outcome)
		}
	}
}

// TestRepeat sends the same transaction again while it could still commit, and
// checks that it never has an effect twice: not in its window, where the first
// outcome is remembered, and not after it, where that is forgotten.
func TestRepeat(t *testing.T) {
	b := newBench(t)
	b.skipTo(20)
	tx := b.draft(writer, move("heads/main", 0, 1))
	entry := b.entry(writer, tx)
	first := b.commit(entry)
	again := func() Applied {
		b.must(move("heads/main", 1, 0), setHead("refs/heads/x", "refs/heads/x")) // it could succeed again
		return b.commit(entry)
	}
	b.must(setHead(mainBranch, "refs/heads/x"))
	if got := again(); !got.Repeat || !proto.Equal(got.Outcome, first.Outcome) || len(got.Refs) > 0 {
		t.Errorf("a repeat gave %+v", got)
	}
	last := first.Index - 1 + WindowMax
	b.skipTo(last - 1)
	if got := b.commit(entry); !got.Repeat || !proto.Equal(got.Outcome, first.Outcome) {
		t.Errorf("a repeat at the end of the window gave %+v", got)
	}
	if b.table.Outcome(writer.Public(), tx.GetId()) == nil {
		t.Error("the outcome is forgotten within the window")
	}
	b.skipTo(first.Index + WindowMax)
	if b.table.Outcome(writer.Public(), tx.GetId()) != nil || b.stored[outcomeKey(first.Index)] != nil {
		t.Error("the outcome is kept beyond the window")
	}
	if got := b.commit(entry); got.Repeat || got.Outcome.GetResult().GetCode() != wire.Code_CODE_EXPIRED || b.refs() != "" {
		t.Errorf("a repeat after the window gave %+v", got)
	}
	b.checkStored()
}

// TestForgetsOnlyTheOldest prunes one outcome at a time.
func TestForgetsOnlyTheOldest(t *testing.T) {
	b := newBench(t)
	first, second := b.must(move("heads/a", 0, 1)), b.must(move("heads/b", 0, 1))
	b.skipTo(first.Index + WindowMax)
	if b.table.Outcome(writer.Public(), first.ID) != nil || b.table.Outcome(writer.Public(), second.ID) == nil {
		t.Error("the window does not move by one")
	}
	b.skipTo(second.Index + WindowMax)
	if len(b.table.outcomes) != 0 || len(b.table.byIndex) != 0 {
		t.Errorf("%d outcomes after their windows", len(b.table.outcomes))
	}
	b.checkStored()
}

func TestIDReuse(t *testing.T) {
	b := newBench(t)
	tx := b.draft(writer, move("heads/main", 0, 1))
	first := b.apply(writer, tx)
	other := proto.Clone(tx).(*wire.Transaction)
	other.Operations = []*wire.Operation{move("heads/b", 0, 1)}
	done := b.apply(writer, other)
	if done.Outcome.GetResult().GetCode() != wire.Code_CODE_ID_REUSED || done.Repeat {
		t.Errorf("other bytes under the same ID gave %+v", done)
	}
	b.wantRefs("heads/main=1")
	if kept := b.table.Outcome(writer.Public(), tx.GetId()); !proto.Equal(kept, first.Outcome) {
		t.Errorf("the first outcome became %v", kept)
	}
	// The ID is the signer's: somebody else may draw the same.
	mine := proto.Clone(other).(*wire.Transaction)
	public := owner.Public()
	mine.Signer = public[:]
	b.wantCodes(codes(b.apply(owner, mine)), ok)
	b.checkStored()
}

// TestDetails checks that what people read in a refusal can be stored, whatever
// names they sent.
func TestDetails(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"", "é", strings.Repeat("ü", 300), "refs/heads/" + strings.Repeat("語", 90), "refs/..\x00", "refs/heads/a\u202e"} {
		op := &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: name, Old: oid(4), New: oid(5)}}}
		for _, code := range b.do(op, setHead(name, name), setHead(mainBranch, name)) {
			if code == ok {
				continue
			}
		}
	}
	b.checkStored()
}

// TestPosition checks that an entry applies at one place only.
func TestPosition(t *testing.T) {
	for _, index := range []uint64{0, 1, 3} {
		func() {
			b := newBench(t)
			defer func() {
				if recover() == nil {
					t.Errorf("entry %d was applied on a table at %d", index, b.table.Index())
				}
			}()
			_, _ = b.table.Apply(index, 1, nil)
		}()
	}
}
