package replica

import (
	"strings"
	"testing"

	"peer/identity"
	"peer/wire"
)

// Codes, short.
const (
	ok        = wire.Code_CODE_OK
	stale     = wire.Code_CODE_STALE
	badName   = wire.Code_CODE_BAD_NAME
	conflict  = wire.Code_CODE_NAME_CONFLICT
	deletes   = wire.Code_CODE_DELETES_HEAD
	locked    = wire.Code_CODE_LOCKED
	sibling   = wire.Code_CODE_SIBLING
	malformed = wire.Code_CODE_MALFORMED
	notHeld   = wire.Code_CODE_NOT_HELD
)

// TestOperations starts each case with main at 1, a at 2 and d/x at 3.
func TestOperations(t *testing.T) {
	const before = "heads/a=2 heads/d/x=3 heads/main=1"
	sized := func(old, new int) *wire.Operation {
		return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{
			Name: "refs/heads/new", Old: make([]byte, old), New: make([]byte, new),
		}}}
	}
	for _, c := range []struct {
		name   string
		atomic bool
		ops    []*wire.Operation
		codes  []wire.Code
		refs   string
	}{
		{"create", false, []*wire.Operation{move("heads/b", 0, 9)}, []wire.Code{ok}, "heads/a=2 heads/b=9 heads/d/x=3 heads/main=1"},
		{"update", false, []*wire.Operation{move("heads/a", 2, 9)}, []wire.Code{ok}, "heads/a=9 heads/d/x=3 heads/main=1"},
		{"delete", false, []*wire.Operation{move("heads/a", 2, 0)}, []wire.Code{ok}, "heads/d/x=3 heads/main=1"},
		{"set to what it is", false, []*wire.Operation{move("heads/a", 2, 2)}, []wire.Code{ok}, before},
		{"delete what is not there", false, []*wire.Operation{move("heads/b", 0, 0)}, []wire.Code{ok}, before},
		{"create what is there", false, []*wire.Operation{move("heads/a", 0, 9)}, []wire.Code{stale}, before},
		{"update from elsewhere", false, []*wire.Operation{move("heads/a", 8, 9)}, []wire.Code{stale}, before},
		{"update what is not there", false, []*wire.Operation{move("heads/b", 2, 9)}, []wire.Code{stale}, before},
		{"delete from elsewhere", false, []*wire.Operation{move("heads/a", 8, 0)}, []wire.Code{stale}, before},
		{"one fails alone", false, []*wire.Operation{move("heads/a", 8, 9), move("heads/b", 0, 9)}, []wire.Code{stale, ok}, "heads/a=2 heads/b=9 heads/d/x=3 heads/main=1"},
		{"atomic, one fails", true, []*wire.Operation{move("heads/b", 0, 9), move("heads/a", 8, 9), move("heads/d/x", 3, 0)}, []wire.Code{sibling, stale, sibling}, before},
		{"atomic", true, []*wire.Operation{move("heads/b", 0, 9), move("heads/a", 2, 9)}, []wire.Code{ok, ok}, "heads/a=9 heads/b=9 heads/d/x=3 heads/main=1"},
		{"atomic, all fail", true, []*wire.Operation{move("heads/a", 8, 9), move("heads/main", 1, 0)}, []wire.Code{stale, deletes}, before},
		{"delete the default branch", false, []*wire.Operation{move("heads/main", 1, 0)}, []wire.Code{deletes}, before},
		{"twice", false, []*wire.Operation{move("heads/a", 2, 9), move("heads/a", 9, 8)}, []wire.Code{ok, malformed}, "heads/a=9 heads/d/x=3 heads/main=1"},
		{"again after a failure", false, []*wire.Operation{move("heads/a", 8, 9), move("heads/a", 2, 9)}, []wire.Code{stale, ok}, "heads/a=9 heads/d/x=3 heads/main=1"},
		{"delete and create", false, []*wire.Operation{move("heads/a", 0, 9), move("heads/a", 2, 0)}, []wire.Code{malformed, ok}, "heads/d/x=3 heads/main=1"},
		{"below a branch", false, []*wire.Operation{move("heads/a/b", 0, 9)}, []wire.Code{conflict}, before},
		{"far below a branch", false, []*wire.Operation{move("heads/a/b/c", 0, 9)}, []wire.Code{conflict}, before},
		{"above a branch", false, []*wire.Operation{move("heads/d", 0, 9)}, []wire.Code{conflict}, before},
		{"a name that only begins alike", false, []*wire.Operation{move("heads/ab", 0, 9), move("heads/d-x", 0, 9)}, []wire.Code{ok, ok}, "heads/a=2 heads/ab=9 heads/d-x=9 heads/d/x=3 heads/main=1"},
		{"two new ones in each other's way", false, []*wire.Operation{move("heads/n", 0, 9), move("heads/n/m", 0, 8)}, []wire.Code{ok, conflict}, "heads/a=2 heads/d/x=3 heads/main=1 heads/n=9"},
		{"deletes make room below", false, []*wire.Operation{move("heads/a/b", 0, 9), move("heads/a", 2, 0)}, []wire.Code{ok, ok}, "heads/a/b=9 heads/d/x=3 heads/main=1"},
		{"deletes make room above", true, []*wire.Operation{move("heads/d", 0, 9), move("heads/d/x", 3, 0)}, []wire.Code{ok, ok}, "heads/a=2 heads/d=9 heads/main=1"},
		{"made room is taken back", true, []*wire.Operation{move("heads/d", 0, 9), move("heads/d/x", 3, 0), move("heads/main", 7, 8)}, []wire.Code{sibling, sibling, stale}, before},
		{"refused name", false, []*wire.Operation{move("heads/a..b", 0, 9)}, []wire.Code{badName}, before},
		{"short object ID", false, []*wire.Operation{sized(0, 19)}, []wire.Code{malformed}, before},
		{"long old object ID", false, []*wire.Operation{sized(32, 20)}, []wire.Code{malformed}, before},
		{"no kind", false, []*wire.Operation{{}}, []wire.Code{malformed}, before},
		{"atomic, no kind", true, []*wire.Operation{{}, move("heads/b", 0, 9)}, []wire.Code{malformed, sibling}, before},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.must(move("heads/main", 0, 1), move("heads/a", 0, 2), move("heads/d/x", 0, 3))
			tx := b.draft(writer, c.ops...)
			tx.Atomic = c.atomic
			done := b.apply(writer, tx)
			b.wantCodes(codes(done), c.codes...)
			b.wantRefs(c.refs)
			if changed := c.refs != before; changed != (len(done.Refs) > 0) {
				t.Errorf("reported changes %v, refs from %q to %q", done.Refs, before, c.refs)
			}
			b.checkStored()
		})
	}
}

// TestConflictsAfterRollBack looks at the count of directories, which only
// later transactions can tell.
func TestConflictsAfterRollBack(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/a/b/c", 0, 1))
	tx := b.draft(writer, move("heads/a/b/c", 1, 0), move("heads/a", 0, 2), move("heads/z/y", 0, 2), move("heads/q", 7, 8))
	tx.Atomic = true
	b.apply(writer, tx)
	b.wantRefs("heads/a/b/c=1")
	b.wantCodes(b.do(move("heads/a", 0, 2)), conflict)
	b.wantCodes(b.do(move("heads/a/b", 0, 2)), conflict)
	b.wantCodes(b.do(move("heads/z", 0, 2)), ok)
	b.wantCodes(b.do(move("heads/a/b/c", 1, 0), move("heads/a", 0, 2)), ok, ok)
}

// TestChanges checks what an entry says it did.
func TestChanges(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	payload := &wire.Payload{Name: "p"}
	entry := func(ops ...*wire.Operation) Applied {
		signed, err := Seal(writer, identity.DomainTransaction, b.draft(writer, ops...))
		if err != nil {
			t.Fatal(err)
		}
		return b.commit(encode(&wire.Entry{Version: entryVersion, Transaction: signed, Payload: payload}))
	}
	done := entry(move("heads/main", 1, 2), move("tags/v1", 0, 3), setHead(mainBranch, "refs/heads/next"))
	if len(done.Refs) != 2 || done.Head != "refs/heads/next" || done.Payload.GetName() != "p" {
		t.Errorf("applied %+v", done)
	}
	if r := done.Refs[0]; r.Name != mainBranch || r.Old[0] != 1 || r.New[0] != 2 {
		t.Errorf("first change %+v", r)
	}
	if r := done.Refs[1]; r.Old != nil || r.New[0] != 3 {
		t.Errorf("second change %+v", r)
	}
	done = entry(move("heads/main", 9, 3), setHead("refs/heads/next", "refs/heads/next"))
	if len(done.Refs) != 0 || done.Head != "" || done.Payload != nil {
		t.Errorf("an entry that changes nothing applied %+v", done)
	}
}

func TestSetHead(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1), move("heads/a", 0, 2))
	b.wantCodes(b.do(setHead("refs/heads/other", "refs/heads/a")), stale)
	b.wantCodes(b.do(setHead(mainBranch, "refs/tags/v1")), badName)
	b.wantCodes(b.do(setHead(mainBranch, "refs/heads/a..b")), badName)
	tx := b.draft(writer, setHead(mainBranch, "refs/heads/a"), move("heads/b", 7, 8))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(writer, tx)), sibling, stale)
	if b.table.Head() != mainBranch {
		t.Errorf("HEAD is %s after an atomic transaction that failed", b.table.Head())
	}
	b.wantCodes(b.do(setHead(mainBranch, "refs/heads/a")), ok)
	b.wantCodes(b.do(move("heads/a", 2, 0)), deletes)
	b.wantCodes(b.do(move("heads/main", 1, 0)), ok)
	b.checkStored()
}

func TestLock(t *testing.T) {
	b := newBench(t)
	by := func(k identity.Key, ops ...*wire.Operation) []wire.Code { return codes(b.apply(k, b.draft(k, ops...))) }
	b.wantCodes(by(writer, acquire(0, 0)), malformed)
	b.wantCodes(by(writer, acquire(LockMillisMax+1, 0)), malformed)
	b.wantCodes(by(writer, &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{TtlMs: 1, Reason: strings.Repeat("x", lockReasonBytesMax+1)}}}), malformed)
	b.wantCodes(by(writer, acquire(1000, 5)), notHeld)
	b.wantCodes(by(writer, release(0)), notHeld)

	b.wantCodes(by(writer, acquire(1000, 0)), ok)
	token := b.table.Index()
	if lock := b.table.HeldLock(); lock.GetToken() != token || lock.GetExpiresUnixMs() != b.stamp+1000 {
		t.Fatalf("lock %v, want token %d until %d", lock, token, b.stamp+1000)
	}
	b.wantCodes(by(writer, acquire(1000, 0)), locked)
	b.wantCodes(by(owner, acquire(1000, 0), move("heads/a", 0, 1), setHead(mainBranch, "refs/heads/b")), locked, locked, locked)
	b.wantCodes(by(writer, move("heads/a", 0, 1), setHead(mainBranch, mainBranch)), ok, ok)
	b.wantCodes(by(writer, acquire(1000, token+1)), notHeld)

	b.stamp += 999 // the last millisecond
	b.wantCodes(by(owner, move("heads/b", 0, 1)), locked)
	b.wantCodes(by(writer, acquire(500, token)), ok) // renewed, under the same token
	if lock := b.table.HeldLock(); lock.GetToken() != token || lock.GetExpiresUnixMs() != b.stamp+500 {
		t.Fatalf("renewed lock %v, want token %d until %d", lock, token, b.stamp+500)
	}
	// A leader whose clock is behind does not make the lease longer.
	high := b.stamp
	b.stamp -= 10_000
	b.wantCodes(by(owner, move("heads/b", 0, 1)), locked)
	b.wantCodes(by(writer, acquire(500, token)), ok)
	if lock := b.table.HeldLock(); lock.GetExpiresUnixMs() != high+500 || b.table.Stamp() != high {
		t.Fatalf("stamp %d and lock until %d, want %d and %d", b.table.Stamp(), lock.GetExpiresUnixMs(), high, high+500)
	}
	b.stamp = high + 500
	b.wantCodes(by(owner, move("heads/b", 0, 1)), ok)
	b.wantCodes(by(writer, acquire(500, token)), notHeld)
	b.wantCodes(by(writer, release(token)), notHeld)

	b.wantCodes(by(owner, acquire(1000, 0)), ok)
	token = b.table.Index()
	b.wantCodes(by(writer, release(token)), notHeld)
	b.wantCodes(by(owner, release(token-1)), notHeld)
	b.wantCodes(by(owner, release(token)), ok)
	b.wantCodes(by(writer, acquire(1000, 0)), ok)
	b.wantCodes(by(owner, release(b.table.Index())), ok) // the repository's owner may
	if b.table.Lock() != nil {
		t.Errorf("lock %v after its release", b.table.Lock())
	}
	b.checkStored()
}

// TestLockRollsBack takes and gives back in atomic transactions that fail.
func TestLockRollsBack(t *testing.T) {
	b := newBench(t)
	tx := b.draft(writer, acquire(1000, 0), move("heads/b", 7, 8))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(writer, tx)), sibling, stale)
	if b.table.Lock() != nil {
		t.Errorf("a lock was taken by a transaction that failed: %v", b.table.Lock())
	}
	b.must(acquire(1000, 0))
	token := b.table.Index()
	tx = b.draft(writer, release(token), move("heads/b", 7, 8))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(writer, tx)), sibling, stale)
	if b.table.HeldLock().GetToken() != token {
		t.Errorf("a lock was given back by a transaction that failed")
	}
}
