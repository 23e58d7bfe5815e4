package store_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node/store"
	"peer/node/store/storetest"
	"peer/replica"
	"peer/wire"
)

var (
	founder  = identity.KeyFromSeed([32]byte{1})
	pusher   = identity.KeyFromSeed([32]byte{2})
	node     = identity.KeyFromSeed([32]byte{3})
	anyNames = replica.Rules{CheckRefName: func(string) error { return nil }}
)

const mainBranch = "refs/heads/main"

// lone is a group of one over a store. It holds every Save of every turn to the limits.
type lone struct {
	*testing.T
	store   storetest.Backend
	genesis *replica.Genesis
	*replica.Group
	drawn uint64
	// mostOfTurn is how many changes a turn made at most.
	mostOfTurn int
}

func newLone(t *testing.T, b storetest.Backend) *lone {
	t.Helper()
	key := pusher.Public()
	g, err := replica.NewGenesis(founder, &wire.Genesis{
		Name: "demo", ObjectFormat: replica.SHA1, DefaultBranch: mainBranch,
		Policy:  &wire.Policy{Version: 1, Writers: [][]byte{key[:]}},
		Members: []*wire.Member{{RaftId: 1, Peer: []byte(node.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &lone{T: t, store: b, genesis: g}
	l.save(g.Found(anyNames))
	l.open()
	return l
}

func (l *lone) save(saves ...replica.Save) {
	l.Helper()
	if err := l.store.Save(saves); err != nil {
		l.Fatal(err)
	}
}

// open starts the group from what is stored, and has it lead.
func (l *lone) open() {
	l.Helper()
	stored, err := l.store.Log(l.genesis.Repo)
	if err != nil {
		l.Fatal(err)
	}
	l.Group, err = replica.New(replica.Config{
		Self: node.PeerID(), Key: node, Log: stored, Table: l.stored(), Rules: anyNames, Payloads: noPayloads{},
		Logger: &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)},
	})
	if err != nil {
		l.Fatal(err)
	}
	if err := l.Campaign(); err != nil {
		l.Fatal(err)
	}
	l.turns()
}

type noPayloads struct{}

func (noPayloads) Held(_, _ []byte, _ *wire.Payload) bool { return true }

// stored is the table that the store has.
func (l *lone) stored() *replica.Table {
	l.Helper()
	table, err := replica.LoadTable(func(f func(string, []byte) error) error { return l.store.Table(l.genesis.Repo, f) }, anyNames)
	if err != nil {
		l.Fatal(err)
	}
	return table
}

func (l *lone) checkStored() {
	l.Helper()
	encode := proto.MarshalOptions{Deterministic: true}
	want, _ := encode.Marshal(l.Table().Snapshot())
	if got, _ := encode.Marshal(l.stored().Snapshot()); !bytes.Equal(got, want) {
		l.Error("the store holds another table")
	}
}

func (l *lone) turns() {
	l.Helper()
	for l.turn() {
	}
}

// turn carries out one turn; false: there was nothing to do.
func (l *lone) turn() bool {
	l.Helper()
	t, err := l.Turn()
	if err != nil {
		l.Fatal(err)
	}
	if t == nil {
		return false
	}
	total := 0
	saves := append([]replica.Save{t.Save}, t.More...)
	for i := range saves {
		if err := store.CheckLimits(&saves[i]); err != nil {
			l.Errorf("save %d of %d: %v", i+1, len(saves), err)
		}
		total += len(saves[i].Table)
	}
	l.mostOfTurn = max(l.mostOfTurn, total)
	if l.Failed() {
		l.FailNow()
	}
	l.save(saves...)
	l.Done(t)
	return true
}

// propose offers a transaction; whoever wants its effect calls turns.
func (l *lone) propose(by identity.Key, ops ...*wire.Operation) {
	l.Helper()
	l.drawn++
	public := by.Public()
	signed, err := replica.Seal(by, identity.DomainTransaction, &wire.Transaction{
		Genesis: l.genesis.Hash[:], Signer: public[:], Id: binary.BigEndian.AppendUint64(make([]byte, 8), l.drawn),
		Base: l.Table().Index(), Window: replica.WindowMax, Operations: ops,
	})
	if err != nil {
		l.Fatal(err)
	}
	if err := l.Propose(&wire.Entry{Transaction: signed}); err != nil {
		l.Fatal(err)
	}
}

// push has a transaction carried out.
func (l *lone) push(by identity.Key, ops ...*wire.Operation) {
	l.Helper()
	l.propose(by, ops...)
	l.turns()
}

// install gives the group a table with refs, each set by a push of its own, and with tips
// that were retired 10,000 at a time.
func (l *lone) install(refs, tips int) {
	l.Helper()
	const at = 1 << 20
	founding := l.genesis.Found(anyNames)
	save := replica.Save{Repo: l.genesis.Repo, HardState: storetest.HardState(2, 1, at), Install: storetest.Position(at, 2, 1)}
	save.Install.ConfState = founding.Install.GetConfState()
	change := func(key string, m proto.Message) {
		raw, err := proto.Marshal(m)
		if err != nil {
			l.Fatal(err)
		}
		save.Table = append(save.Table, replica.Change{Key: key, Value: raw})
	}
	var list []*wire.Ref
	for i := range refs {
		ref := &wire.Ref{Name: name(i), Oid: bytes.Repeat([]byte{1}, 20), Index: uint64(100 + i)}
		list = append(list, ref)
		change("r/"+ref.GetName(), ref)
		change("x/"+string(binary.BigEndian.AppendUint64(nil, ref.GetIndex())), &wire.Signed{Body: make([]byte, 142)})
	}
	for i := range tips {
		tip := &wire.Retired{Oid: bytes.Repeat([]byte{2}, 20), Index: uint64(2 + i/replica.OperationsMax)}
		key := binary.BigEndian.AppendUint64([]byte("t/"), tip.GetIndex())
		change(string(binary.BigEndian.AppendUint32(key, uint32(i))), tip)
	}
	for _, c := range founding.Table {
		if c.Key != "m" {
			save.Table = append(save.Table, c)
		}
	}
	meta := proto.Clone(l.Table().Snapshot().GetMeta()).(*wire.TableMeta)
	meta.Index, meta.Term, meta.RefsHash = at, 2, replica.HashRefs(list, meta.GetHead())
	change("m", meta)
	l.save(save)
	l.open()
	l.wantRefs(refs)
}

func (l *lone) wantRefs(n int) {
	l.Helper()
	if got := len(l.Table().Refs()); got != n {
		l.Fatalf("%d refs, want %d", got, n)
	}
}

func name(i int) string { return fmt.Sprintf("refs/heads/%06d", i) }

func moveEach(lo, hi int, from, to byte) (ops []*wire.Operation) {
	for i := lo; i < hi; i++ {
		ops = append(ops, move(name(i), from, to))
	}
	return ops
}

func move(name string, from, to byte) *wire.Operation {
	oid := func(n byte) []byte {
		if n == 0 {
			return nil
		}
		return bytes.Repeat([]byte{n}, 20)
	}
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: name, Old: oid(from), New: oid(to)}}}
}

func openStore(t *testing.T) storetest.Backend {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir(), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestTurnOfPrunedRefs deletes 20,000 refs, each of which a push of its own had set, as
// git does when it prunes: in two transactions that come in one turn.
func TestTurnOfPrunedRefs(t *testing.T) {
	const half = replica.OperationsMax
	l := newLone(t, openStore(t))
	l.install(2*half, 0)
	l.propose(pusher, moveEach(0, half, 1, 0)...)
	l.propose(pusher, moveEach(half, 2*half, 1, 0)...)
	l.turns()
	l.wantRefs(0)
	if want := 6 * half; l.mostOfTurn < want {
		t.Errorf("the largest turn made %d changes, want %d at least", l.mostOfTurn, want)
	}
	l.checkStored()
}

// TestTurnThatCollects drops as many retired tips as a leader may, beside a transaction
// that deletes as many refs as one may.
func TestTurnThatCollects(t *testing.T) {
	const most = replica.OperationsMax
	l := newLone(t, openStore(t))
	l.install(most, 4*most)
	floor := l.Collect(replica.Collecting{NowMillis: 1})
	if err := l.Propose(&wire.Entry{Collect: &wire.Collect{Floor: floor}}); err != nil {
		t.Fatal(err)
	}
	l.propose(pusher, moveEach(0, most, 1, 0)...)
	l.turns()
	l.wantRefs(0)
	if left := len(l.Table().Retired()); left != most {
		t.Errorf("%d retired tips are left, floor %d", left, floor)
	}
	if want := 7 * most; l.mostOfTurn < want {
		t.Errorf("the largest turn made %d changes, want %d at least", l.mostOfTurn, want)
	}
	l.checkStored()
}

// TestTurnOfManyBytes makes the outcome of a transaction as large as a maintainer can, and
// what it writes beside it, after another of almost as much as one write takes.
func TestTurnOfManyBytes(t *testing.T) {
	l := newLone(t, openStore(t))
	long := func(i int) string { return fmt.Sprintf("refs/heads/%0*d", 1000, i) }
	var before, ops []*wire.Operation
	for i := range 950 {
		before = append(before, move(long(i), 0, 1))
	}
	l.push(pusher, before...)
	before = nil
	l.push(pusher, &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{
		TtlMs: replica.LockMillisMax, Reason: strings.Repeat("r", 200),
	}}})
	lock := l.Table().Lock()
	for i := range 300 {
		before = append(before, move(long(2000+i), 0, 1))
	}
	for range replica.OperationsMax - 951 { // refused, and each refusal says by whom it is locked, and why
		ops = append(ops, &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: &wire.SetHead{}}})
	}
	ops = append(ops, &wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: lock.GetToken()}}})
	for i := range 950 {
		ops = append(ops, move(long(i), 1, 2))
	}
	l.propose(pusher, before...)
	l.propose(founder, ops...)
	l.turns()
	l.wantRefs(950 + 300)
	l.checkStored()
}

// TestTurnOfATombstone cuts a turn that ends with the repository's end between its pieces:
// the log is then forgotten, but never beyond the table that is stored.
func TestTurnOfATombstone(t *testing.T) {
	pieces := 0
	for cut := 0; cut <= pieces; cut++ {
		disk := storetest.New()
		l := newLone(t, disk)
		for i := range 4 {
			l.propose(pusher, moveEach(1000*i, 1000*i+1000, 0, 1)...)
		}
		l.propose(founder, &wire.Operation{Kind: &wire.Operation_Remove{Remove: &wire.Remove{Reason: "test"}}})
		var last *replica.Turn
		for last == nil {
			turn, err := l.Turn()
			if err != nil {
				t.Fatal(err)
			}
			if l.Table().Tombstone() != nil {
				last = turn
				break
			}
			l.save(turn.Save)
			l.Done(turn)
		}
		index := l.Table().Index()
		l.Compact(last, index, 0)
		saves := append([]replica.Save{last.Save}, last.More...)
		if pieces = len(saves); pieces < 3 {
			t.Fatalf("a turn of %d pieces", pieces)
		}
		for _, save := range saves[:cut] {
			l.save(save)
		}
		l.store = disk.Crash()
		if at := l.stored().Index(); at != index && cut == pieces {
			t.Errorf("all %d pieces are stored, and the table is at %d of %d", pieces, at, index)
		}
		l.open()
		if l.Table().Tombstone() == nil || len(l.Table().Refs()) != 4000 {
			t.Errorf("cut after %d of %d: %d refs, tombstone %v", cut, pieces, len(l.Table().Refs()), l.Table().Tombstone())
		}
		l.checkStored()
		stored, _ := l.store.Log(l.genesis.Repo)
		if first, _ := stored.FirstIndex(); cut == pieces && first != index+1 {
			t.Errorf("the log begins at %d, want %d", first, index+1)
		}
	}
}
