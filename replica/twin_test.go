package replica_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/replica/replicatest"
	"peer/wire"
)

// rig is a table beside its twin.
type rig struct {
	*testing.T
	rng    *rand.Rand
	draw   replicatest.Draw
	table  *replica.Table
	twin   *replicatest.Twin
	keys   []identity.Key
	old    []replicatest.Listing
	sent   [][]byte // entries that may come again
	stamp  int64
	counts map[wire.Code]int
}

func newRig(t *testing.T, seed uint64, format string) *rig {
	r := &rig{T: t, rng: rand.New(rand.NewPCG(seed, 7)), stamp: 1_000_000, counts: map[wire.Code]int{}}
	for n := range byte(7) {
		r.keys = append(r.keys, identity.KeyFromSeed([32]byte{n}))
	}
	founding := &wire.Genesis{Name: "twin", ObjectFormat: format, DefaultBranch: replicatest.Names[0], Policy: &wire.Policy{Version: 1}}
	founding.Members = []*wire.Member{{RaftId: 1, Peer: []byte(r.keys[0].PeerID()), Nonce: make([]byte, replica.NonceBytes)}}
	for _, k := range r.keys[1:3] { // the fourth is a stranger, the others may take somebody's place
		public := k.Public()
		founding.Policy.Writers = append(founding.Policy.Writers, public[:])
	}
	g, err := replica.NewGenesis(r.keys[0], founding)
	if err != nil {
		t.Fatal(err)
	}
	r.table, err = replica.LoadTable(func(f func(string, []byte) error) error {
		for _, c := range g.Found(replicatest.Rules).Table {
			if err := f(c.Key, c.Value); err != nil {
				return err
			}
		}
		return nil
	}, replicatest.Rules)
	if err != nil {
		t.Fatal(err)
	}
	r.draw = replicatest.Draw{Rand: r.rng, Genesis: g, Odd: 0.1, LockMillis: 3000, Removes: true}
	for _, k := range r.keys {
		r.draw.Keys = append(r.draw.Keys, k.Public())
	}
	r.draw.Spare = r.keys[3:]
	r.twin = replicatest.NewTwin(g, replicatest.Rules.CheckRefName)
	r.old = []replicatest.Listing{replicatest.List(r.table)}
	return r
}

// transaction is what somebody pushes who saw the table now, or some time ago.
func (r *rig) transaction() (identity.Key, *wire.Transaction) {
	seen := r.old[len(r.old)-1]
	if r.rng.IntN(4) == 0 {
		seen = r.old[r.rng.IntN(len(r.old))]
	}
	by := r.keys[r.rng.IntN(len(r.keys))]
	if r.rng.IntN(2) == 0 {
		by = r.keys[r.rng.IntN(3)]
	}
	tx := r.draw.Transaction(by.Public(), seen)
	if r.rng.IntN(12) == 0 {
		r.draw.Mangle(tx)
	}
	return by, tx
}

// entry is the next entry's bytes: raft's own, an earlier one again, earlier ID
// with other bytes, a broken signature, or something new.
func (r *rig) entry() []byte {
	r.stamp += r.rng.Int64N(1500) - 300
	pick := r.rng.IntN(30)
	if pick == 0 {
		return nil
	}
	if pick < 4 && len(r.sent) > 0 {
		return r.sent[r.rng.IntN(len(r.sent))]
	}
	if pick == 6 {
		return r.collect()
	}
	by, tx := r.transaction()
	if pick == 4 && len(r.sent) > 0 {
		earlier, again := new(wire.Entry), new(wire.Transaction)
		if proto.Unmarshal(r.sent[len(r.sent)-1], earlier) == nil && proto.Unmarshal(earlier.GetTransaction().GetBody(), again) == nil {
			tx.Id = again.GetId()
		}
	}
	signed, err := replica.Seal(by, identity.DomainTransaction, tx)
	if err != nil {
		r.Fatal(err)
	}
	if pick == 5 {
		signed.Signature[r.rng.IntN(64)] ^= 1
	}
	entry := &wire.Entry{Version: replica.VersionOf(tx), StampUnixMs: r.stamp, Transaction: signed, Ancestry: r.draw.Ancestry(tx)}
	if pick == 7 {
		entry.Version = []uint32{1, 3, 4}[r.rng.IntN(3)]
	}
	data, err := proto.Marshal(entry)
	if err != nil {
		r.Fatal(err)
	}
	r.sent = append(r.sent, data)
	return data
}

// collect raises the floor, or tries to lower it, or to put it into the future.
func (r *rig) collect() []byte {
	index := r.table.Index() + 1
	floor := index - min(index, uint64(r.rng.IntN(30))) + uint64(r.rng.IntN(2))
	data, err := proto.Marshal(&wire.Entry{Version: 2, StampUnixMs: r.stamp, Collect: &wire.Collect{Floor: floor}})
	if err != nil {
		r.Fatal(err)
	}
	return data
}

func (r *rig) step() error {
	return r.apply(uint64(1+r.rng.IntN(3)), r.entry())
}

// apply applies an entry to the table and to its twin.
func (r *rig) apply(term uint64, data []byte) error {
	index := r.table.Index() + 1
	done, err := r.table.Apply(index, term, data)
	if err != nil {
		return err
	}
	r.counts[done.Outcome.GetResult().GetCode()]++
	for _, result := range done.Outcome.GetResults() {
		r.counts[result.GetCode()]++
	}
	r.old = append(r.old, replicatest.List(r.table))
	if diff := r.twin.Apply(index, term, data).Differs(&done); diff != "" {
		return fmt.Errorf("entry %d: %s\n%v", index, diff, done.Outcome)
	}
	if diff := r.twin.DiffersFrom(r.table); diff != "" {
		return fmt.Errorf("after entry %d: %s", index, diff)
	}
	return nil
}

// TestTwin holds the table against its twin over random histories.
func TestTwin(t *testing.T) {
	total := map[wire.Code]int{}
	for n := *seed; n < *seed+40; n++ {
		r := newRig(t, n, []string{replica.SHA1, replica.SHA256}[n%2])
		for range 120 {
			if err := r.step(); err != nil {
				t.Fatalf("seed %d: %v\nreplay: go test ./replica -run TestTwin -seed %d", n, err, n)
			}
		}
		for code, count := range r.counts {
			total[code] += count
		}
	}
	// A test that never meets a code says nothing about it.
	for code, name := range wire.Code_name {
		if total[wire.Code(code)] == 0 {
			t.Errorf("%s never came up", name)
		}
	}
	t.Log(total)
}

// TestCourtesy checks that what a leader says before it reads a pack is what
// apply says of the same transaction as the next entry.
func TestCourtesy(t *testing.T) {
	refused, ruled := 0, 0
	for n := *seed; n < *seed+30; n++ {
		r := newRig(t, n, replica.SHA1)
		for range 100 {
			by, tx := r.transaction()
			signed, err := replica.Seal(by, identity.DomainTransaction, tx)
			if err != nil {
				t.Fatal(err)
			}
			data, err := proto.Marshal(&wire.Entry{Version: replica.VersionOf(tx), StampUnixMs: r.stamp, Transaction: signed})
			if err != nil {
				t.Fatal(err)
			}
			courtesy := r.table.Courtesy(by.Public(), tx)
			ahead := tx.GetBase() > r.table.Index() // by entries that the leader has not applied yet
			done, err := r.table.Apply(r.table.Index()+1, 1, data)
			if err != nil {
				t.Fatal(err)
			}
			r.old = append(r.old, replicatest.List(r.table))
			result := done.Outcome.GetResult()
			if ahead && courtesy.GetCode() != wire.Code_CODE_MALFORMED {
				// Courtesy waits for the entries that the client saw; this table never will.
				if done.Outcome != nil {
					t.Fatalf("seed %d: a base of %d at entry %d gave %v", n, tx.GetBase(), done.Index, done.Outcome)
				}
				continue
			}
			if courtesy != nil {
				refused++
			}
			if courtesy.GetCode() == wire.Code_CODE_NOT_ALLOWED && result.GetCode() == wire.Code_CODE_OK {
				for _, each := range done.Outcome.GetResults() {
					if each.GetCode() != wire.Code_CODE_NOT_ALLOWED {
						t.Fatalf("seed %d: courtesy says %s, apply %v of %v", n, courtesy, done.Outcome, tx)
					}
				}
				ruled++
				continue
			}
			if courtesy.GetCode() != result.GetCode() {
				t.Fatalf("seed %d: courtesy says %s (%s), apply %s (%s) of %v", n, courtesy.GetCode(), courtesy.GetDetail(), result.GetCode(), result.GetDetail(), tx)
			}
		}
	}
	if refused == 0 || ruled == 0 {
		t.Errorf("courtesy refused %d transactions, %d of these for rules", refused, ruled)
	}
}
