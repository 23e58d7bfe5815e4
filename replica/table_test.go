package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// checkStored checks that what was drained into the store is the table, and
// that both ways to get a table from elsewhere give the same bytes.
func (b *bench) checkStored() {
	b.Helper()
	want := encode(b.table.Snapshot())
	loaded := b.load()
	if !bytes.Equal(encode(loaded.Snapshot()), want) {
		b.Errorf("the store holds another table:\n%v\nwant\n%v", loaded.Snapshot(), b.table.Snapshot())
	}
	s := new(wire.TableSnapshot)
	if err := proto.Unmarshal(want, s); err != nil {
		b.Fatal(err)
	}
	installed, err := fromSnapshot(s, b.table.genesis, testRules)
	if err != nil {
		b.Fatal(err)
	}
	if !bytes.Equal(encode(installed.Snapshot()), want) {
		b.Error("a snapshot that was installed gives another snapshot")
	}
	stored := map[string][]byte{}
	for _, c := range installed.drain() {
		stored[c.Key] = c.Value
	}
	for key, value := range b.stored {
		if !bytes.Equal(stored[key], value) {
			b.Errorf("key %q of an installed table is %x, want %x", key, stored[key], value)
		}
	}
	if len(stored) != len(b.stored) {
		b.Errorf("an installed table has %d keys, want %d", len(stored), len(b.stored))
	}
	for _, other := range []*Table{loaded, installed} {
		if len(other.dirs) != len(b.table.dirs) {
			b.Errorf("directories %v, want %v", other.dirs, b.table.dirs)
		}
	}
}

// TestFounding checks where a table begins.
func TestFounding(t *testing.T) {
	b := newBench(t)
	table := b.table
	if table.Index() != firstIndex || table.Term() != firstTerm || !bytes.Equal(table.Chain(), table.genesis.Hash[:]) || table.Head() != mainBranch {
		t.Errorf("a founded table is at %d, term %d, chain %x, HEAD %s", table.Index(), table.Term(), table.Chain(), table.Head())
	}
	b.checkStored()
}

// TestChain computes the chain as it is documented.
func TestChain(t *testing.T) {
	b := newBench(t)
	chain := b.table.genesis.Hash[:]
	for index := uint64(2); index < 6; index++ {
		data := b.entry(writer, b.draft(writer, move("heads/main", 7, 8)))
		if index == 4 {
			data = nil
		}
		term := index * 10
		if _, err := b.table.Apply(index, term, data); err != nil {
			t.Fatal(err)
		}
		position := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, index), term)
		transaction, whole := [32]byte{}, sha256.Sum256(data)
		if data != nil {
			entry := new(wire.Entry)
			if err := proto.Unmarshal(data, entry); err != nil {
				t.Fatal(err)
			}
			transaction = sha256.Sum256(entry.GetTransaction().GetBody())
		}
		sum := sha256.Sum256(slices.Concat(chain, position, []byte{0}, transaction[:], whole[:]))
		chain = sum[:]
		if !bytes.Equal(b.table.Chain(), chain) || b.table.Index() != index || b.table.Term() != term {
			t.Errorf("chain at %d is %x, want %x", index, b.table.Chain(), chain)
		}
	}
}

// TestDrain checks that changes are handed out once, in order, deletions as such.
func TestDrain(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/b", 0, 1), move("heads/a", 0, 1))
	if _, err := b.table.Apply(3, 1, b.entry(writer, b.draft(writer, move("heads/a", 1, 0), move("heads/c", 0, 1)))); err != nil {
		t.Fatal(err)
	}
	changes := b.table.drain()
	var keys []string
	for _, c := range changes {
		keys = append(keys, c.Key)
		if deleted := c.Value == nil; deleted != (c.Key == keyRef+"refs/heads/a") {
			t.Errorf("change of %q: %x", c.Key, c.Value)
		}
	}
	if want := []string{keyMeta, outcomeKey(3), keyRef + "refs/heads/a", keyRef + "refs/heads/c", retiredTip{&wire.Retired{Index: 3}, 0}.key(), keptKey(keyKept, 3)}; !slices.Equal(keys, want) {
		t.Errorf("changed keys %q, want %q", keys, want)
	}
	if again := b.table.drain(); len(again) != 0 {
		t.Errorf("drained twice: %v", again)
	}
}

func TestLoadRefuses(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	failing := errors.New("the disk does not answer")
	for name, c := range map[string]struct {
		edit func(map[string][]byte)
		err  error
		want string
	}{
		"no genesis":      {func(s map[string][]byte) { delete(s, keyGenesis) }, nil, "no genesis"},
		"no position":     {func(s map[string][]byte) { delete(s, keyMeta) }, nil, "no genesis or no position"},
		"unknown key":     {func(s map[string][]byte) { s["z/1"] = []byte{1} }, nil, "newer peer"},
		"forged genesis":  {func(s map[string][]byte) { s[keyGenesis] = encode(&wire.Signed{Body: []byte("x")}) }, nil, "public key"},
		"broken genesis":  {func(s map[string][]byte) { s[keyGenesis] = []byte{0xff} }, nil, "load table"},
		"broken meta":     {func(s map[string][]byte) { s[keyMeta] = []byte{0xff} }, nil, "load table"},
		"broken ref":      {func(s map[string][]byte) { s[keyRef+"x"] = []byte{0xff} }, nil, "load table"},
		"broken outcome":  {func(s map[string][]byte) { s[outcomeKey(9)] = []byte{0xff} }, nil, "load table"},
		"outcome without": {func(s map[string][]byte) { s[outcomeKey(9)] = nil }, nil, "malformed"},
		"failing store":   {func(map[string][]byte) {}, failing, "does not answer"},
	} {
		stored := map[string][]byte{}
		for key, value := range b.stored {
			stored[key] = value
		}
		c.edit(stored)
		_, err := LoadTable(func(f func(string, []byte) error) error {
			for key, value := range stored {
				if err := f(key, value); err != nil {
					return err
				}
			}
			return c.err
		}, testRules)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// TestSnapshotRefuses checks what is asked of a table from elsewhere.
func TestSnapshotRefuses(t *testing.T) {
	b := newBench(t)
	b.must(move("heads/main", 0, 1))
	elsewhere := testGenesis(3)
	elsewhere.Name = "elsewhere"
	other, err := NewGenesis(owner, elsewhere)
	if err != nil {
		t.Fatal(err)
	}
	seats := func(s *wire.TableSnapshot, spelt string) []*wire.Member {
		s.Meta.Members, s.Meta.NextRaftId = parseMembership(t, spelt).Wire(), 9
		return s.Meta.Members
	}
	proven := proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot)
	seats(proven, "1 2 3 4?")
	if _, err := fromSnapshot(proven, b.table.genesis, testRules); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*wire.TableSnapshot){
		"other genesis":      func(s *wire.TableSnapshot) { s.Genesis = other.Signed },
		"no genesis":         func(s *wire.TableSnapshot) { s.Genesis = nil },
		"no meta":            func(s *wire.TableSnapshot) { s.Meta = nil },
		"no position":        func(s *wire.TableSnapshot) { s.Meta.Index = 0 },
		"no chain":           func(s *wire.TableSnapshot) { s.Meta.Chain = nil },
		"uncertified voters": func(s *wire.TableSnapshot) { seats(s, "1 2 4") },
		"a forged lineage":   func(s *wire.TableSnapshot) { s.Lineage = &wire.Lineage{Certificates: []*wire.Certificate{{}}} },
		"an unproven seat":   func(s *wire.TableSnapshot) { seats(s, "1 2 3 4?")[3].Proof = nil },
		"an even number":     func(s *wire.TableSnapshot) { seats(s, "1 2") },
		"refused ref":        func(s *wire.TableSnapshot) { s.Refs[0].Name = "../main" },
		"short object ID":    func(s *wire.TableSnapshot) { s.Refs[0].Oid = s.Refs[0].Oid[1:] },
		"no object ID":       func(s *wire.TableSnapshot) { s.Refs[0].Oid = nil },
		"outcome of nobody":  func(s *wire.TableSnapshot) { s.Outcomes[0].Signer = nil },
		"outcome of no ID":   func(s *wire.TableSnapshot) { s.Outcomes[0].Id = nil },
	} {
		s := proto.Clone(b.table.Snapshot()).(*wire.TableSnapshot)
		edit(s)
		if _, err := fromSnapshot(s, b.table.genesis, testRules); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
