package replica

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

const tooMany = wire.Code_CODE_TOO_MANY_REFS

// TestRefsMax fills a repository that may have three refs.
func TestRefsMax(t *testing.T) {
	b := newBench(t)
	b.table.rules.RefsMax = 3
	b.must(move("heads/main", 0, 1), move("heads/a", 0, 2))
	b.wantCodes(b.do(move("heads/b", 0, 3), move("heads/c", 0, 4)), ok, tooMany)
	full := "heads/a=2 heads/b=3 heads/main=1"
	b.wantRefs(full)
	b.checkStored()

	refused := b.apply(writer, b.draft(writer, move("heads/c", 0, 4))).Outcome.GetResults()[0]
	if !strings.Contains(refused.GetDetail(), "demo has 3 refs") || !strings.Contains(refused.GetDetail(), "delete") {
		t.Errorf("it does not say what to do: %s", refused.GetDetail())
	}
	// What is there moves and goes, and what is not may be deleted.
	b.wantCodes(b.do(move("heads/a", 2, 5), move("heads/x", 0, 0)), ok, ok)
	b.wantCodes(b.do(move("heads/a", 9, 8), move("heads/c", 7, 8)), stale, stale)
	// One makes room for the other, in whatever order they are named.
	b.wantCodes(b.do(move("heads/c", 0, 4), move("heads/a", 5, 0)), ok, ok)
	// What an atomic push takes back takes no room.
	tx := b.draft(writer, move("heads/b", 3, 0), move("heads/e", 0, 6), move("heads/f", 0, 7))
	tx.Atomic = true
	b.wantCodes(codes(b.apply(writer, tx)), sibling, sibling, tooMany)
	b.wantRefs("heads/b=3 heads/c=4 heads/main=1")
	b.must(move("heads/b", 3, 0))
	b.wantCodes(b.do(move("heads/e", 0, 6), move("heads/f", 0, 7)), ok, tooMany)
}

// TestRefNamesMax does so with names that are too long for all of them.
func TestRefNamesMax(t *testing.T) {
	b := newBench(t)
	b.table.rules.RefsMax = 3
	left := 3*refNameBytesMean - len(mainBranch)
	long := func(n int) string { return "heads/" + strings.Repeat("n", n-len("refs/heads/")) }
	b.must(move("heads/main", 0, 1))
	b.wantCodes(b.do(move(long(left+1), 0, 2)), tooMany)
	b.must(move(long(left), 0, 2))
	b.wantCodes(b.do(move("heads/a", 0, 3)), tooMany)
	b.table = b.load() // counts them anew
	b.table.rules.RefsMax = 3
	b.wantCodes(b.do(move("heads/a", 0, 3), move(long(left), 2, 4)), tooMany, ok)
	b.must(move(long(left), 4, 0))
	b.must(move("heads/a", 0, 3))
}

// A table of before the limit opens, and shrinks.
func TestRefsBeyondTheMax(t *testing.T) {
	b := newBench(t)
	for i := range byte(4) {
		b.must(move(fmt.Sprintf("heads/%d", i), 0, 1+i))
	}
	b.table = b.load()
	b.table.rules.RefsMax = 2
	b.wantCodes(b.do(move("heads/0", 1, 9), move("heads/4", 0, 5)), ok, tooMany)
	b.wantCodes(b.do(move("heads/0", 9, 0), move("heads/1", 2, 0), move("heads/4", 0, 5)), ok, ok, tooMany)
	b.wantRefs("heads/2=3 heads/3=4")
}

// All that the limits allow fits into a snapshot, with what proves it.
func TestRefsFitIntoASnapshot(t *testing.T) {
	ref := &wire.Ref{Name: strings.Repeat("n", refNameBytesMean), Oid: make([]byte, 32), Index: 1 << 40}
	most := RefsMax*proto.Size(&wire.TableSnapshot{Refs: []*wire.Ref{ref}}) + keptBytesMax + changesBytesMax
	if room := wire.SnapshotBytesMax * 3 / 4; most > room {
		t.Errorf("refs and proofs take %d bytes, and a snapshot has room for %d", most, room)
	}
}
