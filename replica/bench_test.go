package replica

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"peer/identity"
	"peer/wire"
)

// Keys of the tests. The owner founds, the writer may push, the stranger may not.
var (
	owner    = testKey(1)
	writer   = testKey(2)
	stranger = testKey(3)
)

func testKey(n byte) identity.Key { return identity.KeyFromSeed([32]byte{n}) }

var testRules = Rules{CheckRefName: func(name string) error {
	if !strings.HasPrefix(name, "refs/") || strings.Contains(name, "..") {
		return fmt.Errorf("ref name %q is refused", name)
	}
	return nil
}}

const mainBranch = "refs/heads/main"

// testGenesis is a genesis that lacks nothing, with n members.
func testGenesis(n int) *wire.Genesis {
	public := writer.Public()
	g := &wire.Genesis{
		Name: "demo", ObjectFormat: SHA1, DefaultBranch: mainBranch,
		Policy: &wire.Policy{Version: 1, Writers: [][]byte{public[:]}},
	}
	for i := range n {
		g.Members = append(g.Members, &wire.Member{
			RaftId: uint64(i + 1), Peer: []byte(testKey(byte(100 + i)).PeerID()), Nonce: make([]byte, NonceBytes),
		})
	}
	return g
}

// bench is a table on which a test applies transactions.
type bench struct {
	testing.TB
	table *Table
	// stored is what a store would hold.
	stored map[string][]byte
	ids    uint16
	stamp  int64
}

func newBench(t testing.TB) *bench {
	t.Helper()
	g, err := NewGenesis(owner, testGenesis(3))
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{TB: t, stored: map[string][]byte{}, stamp: 1_000_000}
	b.store(g.Found(testRules).Table)
	b.table = b.load()
	return b
}

func (b *bench) store(changes []Change) {
	for _, c := range changes {
		if c.Value == nil {
			delete(b.stored, c.Key)
		} else {
			b.stored[c.Key] = c.Value
		}
	}
}

func (b *bench) load() *Table {
	b.Helper()
	t, err := LoadTable(func(f func(string, []byte) error) error {
		for key, value := range b.stored {
			if err := f(key, value); err != nil {
				return err
			}
		}
		return nil
	}, testRules)
	if err != nil {
		b.Fatal(err)
	}
	return t
}

// draft is a transaction that would be accepted as a whole.
func (b *bench) draft(by identity.Key, ops ...*wire.Operation) *wire.Transaction {
	b.ids++
	public := by.Public()
	return &wire.Transaction{
		Genesis: b.table.genesis.Hash[:], Signer: public[:], Id: bytes.Repeat([]byte{byte(b.ids >> 8), byte(b.ids)}, TransactionIDBytes/2),
		Base: b.table.Index(), Window: WindowMax, Operations: ops,
	}
}

// entry signs a transaction and puts it into an entry.
func (b *bench) entry(by identity.Key, tx *wire.Transaction) []byte {
	b.Helper()
	signed, err := Seal(by, identity.DomainTransaction, tx)
	if err != nil {
		b.Fatal(err)
	}
	return encode(&wire.Entry{Version: VersionOf(tx), StampUnixMs: b.stamp, Transaction: signed})
}

// commit applies an entry's bytes as the next one.
func (b *bench) commit(data []byte) Applied {
	b.Helper()
	done, err := b.table.Apply(b.table.Index()+1, 1, data)
	if err != nil {
		b.Fatal(err)
	}
	b.store(b.table.drain())
	return done
}

func (b *bench) apply(by identity.Key, tx *wire.Transaction) Applied {
	b.Helper()
	return b.commit(b.entry(by, tx))
}

// do applies operations of the writer, each by itself.
func (b *bench) do(ops ...*wire.Operation) []wire.Code {
	b.Helper()
	return codes(b.apply(writer, b.draft(writer, ops...)))
}

// must applies operations of the writer that have to succeed.
func (b *bench) must(ops ...*wire.Operation) Applied {
	b.Helper()
	done := b.apply(writer, b.draft(writer, ops...))
	for i, code := range codes(done) {
		if code != wire.Code_CODE_OK {
			b.Fatalf("operation %d: %v", i, done.Outcome.GetResults()[i])
		}
	}
	return done
}

// skipTo applies raft's own empty entries.
func (b *bench) skipTo(index uint64) {
	b.Helper()
	for b.table.Index() < index {
		b.commit(nil)
	}
}

// refs spells the table's refs: name and first byte of the object ID.
func (b *bench) refs() string {
	var list []string
	for _, r := range b.table.Refs() {
		list = append(list, fmt.Sprintf("%s=%d", strings.TrimPrefix(r.GetName(), "refs/"), r.GetOid()[0]))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func (b *bench) wantRefs(want string) {
	b.Helper()
	if got := b.refs(); got != want {
		b.Errorf("refs are %q, want %q", got, want)
	}
}

func codes(done Applied) []wire.Code {
	var list []wire.Code
	for _, r := range done.Outcome.GetResults() {
		list = append(list, r.GetCode())
	}
	return list
}

func (b *bench) wantCodes(got []wire.Code, want ...wire.Code) {
	b.Helper()
	if !slices.Equal(got, want) {
		b.Errorf("codes %v, want %v", got, want)
	}
}

func oid(n byte) []byte {
	if n == 0 {
		return nil
	}
	return bytes.Repeat([]byte{n}, 20)
}

// move is a compare-and-swap of refs/NAME; zero stands for no ref.
func move(name string, from, to byte) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: "refs/" + name, Old: oid(from), New: oid(to)}}}
}

func setHead(from, to string) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: &wire.SetHead{Old: from, New: to}}}
}

func acquire(ttl int64, token uint64) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{TtlMs: ttl, Token: token}}}
}

func release(token uint64) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: token}}}
}
