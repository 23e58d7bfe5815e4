package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// TestRefsHash moves refs and HEAD at random, some of it refused, some rolled
// back, and compares the running hash with that of the whole set.
func TestRefsHash(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	b := newBench(t)
	seen := map[string]string{}
	for range 300 {
		tx := b.draft(writer)
		// Now and then an ID comes again, and is refused, which must change nothing either.
		tx.Id = bytes.Repeat([]byte{byte(random.IntN(200))}, TransactionIDBytes)
		tx.Atomic = random.IntN(2) == 0
		for range 1 + random.IntN(4) {
			name := fmt.Sprintf("heads/b%d", random.IntN(5))
			current := byte(0)
			if r := b.table.refs["refs/"+name]; r != nil {
				current = r.GetOid()[0]
			}
			if random.IntN(5) == 0 {
				current++ // stale
			}
			tx.Operations = append(tx.Operations, move(name, current, byte(random.IntN(4))))
		}
		if random.IntN(4) == 0 {
			tx.Operations = append(tx.Operations, setHead(b.table.Head(), fmt.Sprintf("refs/heads/b%d", random.IntN(3))))
		}
		b.apply(writer, tx)
		if err := b.table.CheckRefs(); err != nil {
			t.Fatalf("%v after %v", err, tx.GetOperations())
		}
		key, refs := string(b.table.State().GetRefs()), b.refs()+" "+b.table.Head()
		if before, ok := seen[key]; ok && before != refs {
			t.Fatalf("one hash for %q and %q", before, refs)
		}
		seen[key] = refs
	}
	if len(seen) < 20 {
		t.Errorf("only %d states: this tests nothing", len(seen))
	}
	b.checkStored()
}

// TestRefsHashIsPinned keeps the hash what it is: replicas of all versions must agree.
func TestRefsHashIsPinned(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1), move("tags/v1", 0, 2))
	const want = "be3f808617112e32e319d7c21ff0ad0da81299f1ab6328988e633a1a69cb51ee"
	if got := fmt.Sprintf("%x", b.table.State().GetRefs()); got != want {
		t.Errorf("hash of the refs is %s, want %s", got, want)
	}
}

// TestDamagedTable changes a table as a disk or a hand might.
func TestDamagedTable(t *testing.T) {
	damages := map[string]func(stored map[string][]byte){
		"a ref is elsewhere": func(s map[string][]byte) {
			s["r/refs/heads/main"] = encode(&wire.Ref{Name: mainBranch, Oid: oid(9), Index: 2})
		},
		"a ref is gone": func(s map[string][]byte) { delete(s, "r/refs/heads/main") },
		"a ref too many": func(s map[string][]byte) {
			s["r/refs/heads/x"] = encode(&wire.Ref{Name: "refs/heads/x", Oid: oid(1), Index: 2})
		},
		"HEAD is elsewhere": func(s map[string][]byte) {
			meta := new(wire.TableMeta)
			if err := proto.Unmarshal(s["m"], meta); err != nil {
				t.Fatal(err)
			}
			meta.Head = "refs/heads/x"
			s["m"] = encode(meta)
		},
		"the hash is cut": func(s map[string][]byte) {
			meta := new(wire.TableMeta)
			if err := proto.Unmarshal(s["m"], meta); err != nil {
				t.Fatal(err)
			}
			meta.RefsHash = meta.RefsHash[:100]
			s["m"] = encode(meta)
		},
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.must(move("heads/main", 0, 1))
			damage(b.stored)
			_, err := LoadTable(func(f func(string, []byte) error) error {
				for key, value := range b.stored {
					if err := f(key, value); err != nil {
						return err
					}
				}
				return nil
			}, testRules)
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("load: %v, want %v", err, ErrDamaged)
			}
		})
	}
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	s := proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot)
	s.Refs[0].Oid = oid(9)
	if _, err := fromSnapshot(s, b.table.genesis, testRules); !errors.Is(err, ErrDamaged) {
		t.Errorf("snapshot: %v, want %v", err, ErrDamaged)
	}
}

// TestTableWithoutRefsHash loads a table from before there was one.
func TestTableWithoutRefsHash(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	want := b.table.meta.GetRefsHash()
	meta := proto.Clone(b.table.meta).(*wire.TableMeta)
	meta.RefsHash = nil
	b.stored["m"] = encode(meta)
	if got := b.load().meta.GetRefsHash(); !bytes.Equal(got, want) {
		t.Error("another hash than with one")
	}
}

// BenchmarkRefsHash is what one ref costs that moves.
func BenchmarkRefsHash(b *testing.B) {
	h, old, now := new(refsHash), oid(1), oid(2)
	for b.Loop() {
		h.move(elementRef, mainBranch, mainBranch, old, now)
	}
}
