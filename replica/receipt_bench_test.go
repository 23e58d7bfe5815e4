package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// BenchmarkReceipt is what a small push costs more for its receipt: a follower's
// signature, and the leader's part of a group of three, beside one applied entry.
func BenchmarkReceipt(b *testing.B) {
	p := newProofs(b, "demo")
	c := p.lineage.Last()
	at := trailLink{p.links[6], p.chain(8)}
	b.Run("apply", func(b *testing.B) {
		t := newBench(b)
		data := t.entry(writer, t.draft(writer, move("heads/x", 0, 1)))
		for b.Loop() {
			if _, err := t.table.Apply(t.table.Index()+1, 1, data); err != nil {
				b.Fatal(err)
			}
			t.table.outcomes, t.table.byIndex = map[txKey]*wire.Outcome{}, map[uint64]txKey{}
		}
	})
	b.Run("link", func(b *testing.B) {
		data := make([]byte, 1000)
		for b.Loop() {
			LinkOf(2, pb.EntryNormal, data).Extend(8, at.chain)
		}
	})
	b.Run("sign", func(b *testing.B) {
		for b.Loop() {
			seatKey(2).Sign(identity.DomainReceipt, position(c, p.g, 8, 2, at.chain))
		}
	})
	b.Run("gather", func(b *testing.B) {
		e := &Evidence{lineage: p.lineage, self: seatsOf(1)[0], index: 8, before: p.chain(7), links: []trailLink{at}, held: map[uint64]*wire.Held{}}
		s := p.at(2, 8)
		e.held[2] = &wire.Held{Term: 2, Index: 8, Signature: s.GetSignature()}
		for b.Loop() {
			if _, err := e.Receipt(seatKey(1)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("check", func(b *testing.B) {
		r := p.receipt(8, 8, p.at(1, 8), p.at(2, 8))
		for b.Loop() {
			if _, err := ParseReceipt(r); err != nil {
				b.Fatal(err)
			}
		}
	})
}
