package replicatest

import (
	"bytes"
	"errors"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/replica"
	"peer/wire"
)

// receipts knows who signed which position. A majority's signatures prove an entry from
// the moment they leave, whoever has gathered them by then, so it may never be lost.
type receipts struct {
	signed map[signing]map[uint64]uint64 // up to where, by seat
	proven map[uint64]uint64             // the term of an entry, by index
}

// signing is what can be counted together: in one term there is one log.
type signing struct{ generation, term uint64 }

func newReceipts() receipts {
	return receipts{signed: map[signing]map[uint64]uint64{}, proven: map[uint64]uint64{}}
}

// attested takes down what an acknowledgement carries.
func (l *ledger) attested(from *member, m *pb.Message) {
	v := new(wire.Vouch)
	if len(m.GetContext()) == 0 || proto.Unmarshal(m.GetContext(), v) != nil || v.GetHeld() == nil || from.rot.rotten {
		return
	}
	h := v.GetHeld()
	if i := h.GetIndex() - from.disk.index - 1; h.GetIndex() > from.disk.last() || i < uint64(len(from.disk.entries)) && from.disk.entries[i].GetTerm() != h.GetTerm() {
		l.s.fail("durable receipt", "member %d signs entry %d of term %d, its disk ends at %d", from.number, h.GetIndex(), h.GetTerm(), from.disk.last())
	}
	c := from.group.Membership().Lineage.Last()
	if c.Generation != h.GetGeneration() {
		return // told again; it was counted
	}
	by := l.receipts.signed[signing{c.Generation, h.GetTerm()}]
	if by == nil {
		by = map[uint64]uint64{}
		l.receipts.signed[signing{c.Generation, h.GetTerm()}] = by
	}
	by[from.seat.RaftID] = max(by[from.seat.RaftID], h.GetIndex())
	var far []uint64
	for _, v := range c.Voters {
		far = append(far, by[v.RaftID])
	}
	slices.Sort(far)
	if index := far[len(far)-len(far)/2-1]; index > 0 {
		l.prove(index, h.GetTerm())
	}
}

// prove notes that an entry of that term is in every later state.
func (l *ledger) prove(index, term uint64) {
	if other, known := l.receipts.proven[index]; known && other != term {
		l.s.fail("receipts", "entry %d is proved in term %d, and in %d", index, other, term)
	}
	l.receipts.proven[index] = term
	if e := l.entry(index); e != nil && e.term != term {
		l.s.fail("receipts", "entry %d is proved in term %d, and applied in %d", index, term, e.term)
	}
}

// proves has a leader make receipts of what it applied.
func (l *ledger) proves(m *member, a *replica.Applied) {
	if _, leading := m.group.Leading(); !leading || a.Outcome == nil || a.Repeat || m.rot.rotten {
		return
	}
	o := open(m.disk.entries[a.Index-m.disk.index-1])
	evidence, err := m.group.Evidence(a.Index)
	if o == nil || err != nil {
		l.s.stats.NoReceipts++
		return
	}
	r, err := evidence.Receipt(m.key)
	if err != nil {
		if l.s.stats.NoReceipts++; !errors.Is(err, replica.ErrNoReceipt) {
			l.s.fail("receipts", "entry %d: %v", a.Index, err)
		}
		return
	}
	l.s.stats.Receipts++
	r.Genesis, r.Transaction = l.s.genesis.Signed, o.entry.GetTransaction()
	parsed, err := replica.ParseReceipt(r)
	if err != nil {
		if _, malformed := o.tx.GetSigner(), a.Outcome.GetResult().GetCode() == wire.Code_CODE_MALFORMED; !malformed {
			l.s.fail("receipts", "entry %d of term %d: %v", a.Index, a.Term, err)
		}
		return
	}
	if parsed.Term != a.Term || !bytes.Equal(r.GetBefore(), l.before(a.Index)) {
		l.s.fail("receipts", "entry %d of term %d: the receipt is of another log", a.Index, a.Term)
	}
}

// before is the chain before an entry.
func (l *ledger) before(index uint64) []byte {
	if e := l.entry(index - 1); e != nil {
		return e.chain
	}
	return l.s.genesis.Hash[:]
}
