package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// proofs makes receipts for a log of one repository, of which each entry is a
// transaction of its own.
type proofs struct {
	testing.TB
	g       *Genesis
	lineage *Lineage
	log     []*wire.Signed // entry i+2
	links   []Link
}

func newProofs(t testing.TB, name string) *proofs {
	t.Helper()
	body := testGenesis(3)
	body.Name = name
	g, err := NewGenesis(owner, body)
	if err != nil {
		t.Fatal(err)
	}
	p := &proofs{TB: t, g: g, lineage: g.Lineage()}
	for i := range 10 {
		p.push(byte(i+1), 2)
	}
	return p
}

// push adds a transaction to the log.
func (p *proofs) push(id byte, term uint64) {
	p.Helper()
	public := writer.Public()
	signed, err := Seal(writer, identity.DomainTransaction, &wire.Transaction{
		Genesis: p.g.Hash[:], Signer: public[:], Id: bytes.Repeat([]byte{id}, TransactionIDBytes), Window: WindowMax,
		Operations: []*wire.Operation{move("heads/main", id-1, id)},
	})
	if err != nil {
		p.Fatal(err)
	}
	p.log = append(p.log, signed)
	p.links = append(p.links, LinkOf(term, pb.EntryNormal, encode(&wire.Entry{Version: entryVersion, Transaction: signed})))
}

func (p *proofs) chain(index uint64) [sha256.Size]byte {
	chain := [sha256.Size]byte(p.g.Hash)
	for i := uint64(2); i <= index; i++ {
		chain = p.links[i-2].Extend(i, chain)
	}
	return chain
}

// at is what seat signs of an entry.
func (p *proofs) at(seat, index uint64) *wire.Signature {
	return p.as(seat, index, identity.DomainReceipt, p.lineage.Last())
}

func (p *proofs) as(seat, index uint64, d identity.Domain, c *Configuration) *wire.Signature {
	body := position(c, p.g, index, p.links[index-2].Term, p.chain(index))
	return &wire.Signature{RaftId: seat, Index: index, Signature: seatKey(seat).Sign(d, body)}
}

// receipt is one for the entry at index, with links up to end.
func (p *proofs) receipt(index, end uint64, signatures ...*wire.Signature) *wire.Receipt {
	before := p.chain(index - 1)
	r := &wire.Receipt{
		Genesis: p.g.Signed, Transaction: p.log[index-2], Lineage: p.lineage.Wire(), Index: index, Before: before[:], Signatures: signatures,
	}
	for i := index; i <= end; i++ {
		r.Links = append(r.Links, p.links[i-2].wire())
	}
	return r
}

// TestReceipts checks receipts that hold, and such that were replayed, grafted, cut, or
// moved from elsewhere.
func TestReceipts(t *testing.T) {
	p, there := newProofs(t, "demo"), newProofs(t, "elsewhere")
	// The same log with voters 1 2 4 from entry 5 on.
	next := newProofs(t, "demo")
	next.lineage = mustWith(t, next.lineage, 5, seatsOf(1, 2, 4), 1, 2)
	other := newProofs(t, "demo")
	other.links, other.log = other.links[:6], other.log[:6]
	other.push(77, 2)
	good := func() *wire.Receipt { return proto.CloneOf(p.receipt(8, 8, p.at(1, 8), p.at(2, 8))) }
	edited := func(edit func(*wire.Receipt)) *wire.Receipt {
		r := good()
		edit(r)
		return r
	}
	two := newProofs(t, "demo")
	twoSeats := append(seatsOf(1, 2), Member{RaftID: 6, Peer: seatKey(2).PeerID(), Nonce: make([]byte, NonceBytes)})
	two.lineage = mustWith(t, two.lineage, 5, twoSeats, 1, 2)
	sixth := two.at(6, 8)
	sixth.Signature = two.at(2, 8).Signature
	for name, c := range map[string]struct {
		r  *wire.Receipt
		ok bool
	}{
		"a majority":           {good(), true},
		"all":                  {p.receipt(8, 8, p.at(3, 8), p.at(1, 8), p.at(2, 8)), true},
		"further on":           {p.receipt(8, 10, p.at(3, 10), p.at(1, 9)), true},
		"next configuration":   {next.receipt(8, 9, next.at(4, 9), next.at(1, 8)), true},
		"a minority":           {p.receipt(8, 8, p.at(1, 8)), false},
		"nobody":               {p.receipt(8, 8), false},
		"one twice":            {p.receipt(8, 8, p.at(1, 8), p.at(1, 8)), false},
		"one twice, enough":    {p.receipt(8, 8, p.at(1, 8), p.at(2, 8), p.at(2, 8)), false},
		"one at two entries":   {p.receipt(8, 9, p.at(1, 8), p.at(1, 9)), false},
		"two seats of a node":  {two.receipt(8, 8, two.at(2, 8), sixth), false},
		"unknown voter":        {p.receipt(8, 8, p.at(1, 8), p.at(9, 8)), false},
		"enough, and a broken": {p.receipt(8, 8, p.at(1, 8), p.at(2, 8), &wire.Signature{RaftId: 3, Index: 8, Signature: make([]byte, 64)}), false},
		"one who left":         {next.receipt(8, 8, next.at(1, 8), next.at(3, 8)), false},
		"one to come":          {p.receipt(8, 8, p.at(1, 8), p.at(4, 8)), false},
		"other's seat":         {edited(func(r *wire.Receipt) { r.Signatures[1].RaftId = 3 }), false},
		"broken signature":     {edited(func(r *wire.Receipt) { r.Signatures[1].Signature[7] ^= 1 }), false},
		"other domain":         {p.receipt(8, 8, p.at(1, 8), p.as(2, 8, identity.DomainConfiguration, p.lineage.Last())), false},
		"as a hint":            {p.receipt(8, 8, p.at(1, 8), p.as(2, 8, identity.DomainHint, p.lineage.Last())), false},
		// Replay: what was signed of one entry, for another.
		"replayed at the next": {p.receipt(8, 8, p.at(1, 7), p.at(2, 7)), false},
		"replayed, renumbered": {p.receipt(8, 8, func() *wire.Signature { s := p.at(1, 7); s.Index = 8; return s }(), p.at(2, 8)), false},
		"other index":          {edited(func(r *wire.Receipt) { r.Index++; r.Signatures[0].Index++; r.Signatures[1].Index++ }), false},
		// Graft: another transaction, or another entry around it.
		"other transaction": {edited(func(r *wire.Receipt) { r.Transaction = p.log[3] }), false},
		"other, linked": {edited(func(r *wire.Receipt) {
			r.Transaction = p.log[3]
			sum := sha256.Sum256(p.log[3].GetBody())
			r.Links[0].Transaction = sum[:]
		}), false},
		"unsigned":       {edited(func(r *wire.Receipt) { r.Transaction.Signature[2] ^= 1 }), false},
		"no transaction": {edited(func(r *wire.Receipt) { r.Transaction = nil }), false},
		"other entry":    {edited(func(r *wire.Receipt) { r.Links[0].Entry[0] ^= 1 }), false},
		"other kind":     {edited(func(r *wire.Receipt) { r.Links[0].Kind = 2 }), false},
		"other term":     {edited(func(r *wire.Receipt) { r.Links[0].Term++ }), false},
		"other history":  {edited(func(r *wire.Receipt) { r.Before[0] ^= 1 }), false},
		"other log":      {p.receipt(8, 8, other.at(1, 8), other.at(2, 8)), false},
		// Downgrade: by voters of before, or to them.
		"older signatures":    {next.receipt(8, 8, p.at(1, 8), p.at(2, 8)), false},
		"newer signatures":    {p.receipt(8, 8, next.at(1, 8), next.at(2, 8)), false},
		"before its voters":   {next.receipt(5, 5, next.at(1, 5), next.at(2, 5)), false},
		"lineage that breaks": {edited(func(r *wire.Receipt) { r.Lineage = there.receipt(8, 8).Lineage; r.Lineage.Configuration = []byte{1} }), false},
		// Cross-repository.
		"another repository":     {there.receipt(8, 8, p.at(1, 8), p.at(2, 8)), false},
		"another's signatures":   {p.receipt(8, 8, there.at(1, 8), there.at(2, 8)), false},
		"another's transaction":  {edited(func(r *wire.Receipt) { r.Transaction = there.log[6] }), false},
		"another's genesis":      {edited(func(r *wire.Receipt) { r.Genesis = there.g.Signed }), false},
		"no genesis":             {edited(func(r *wire.Receipt) { r.Genesis = nil }), false},
		"links too few":          {p.receipt(8, 8, p.at(1, 8), p.at(2, 9)), false},
		"no links":               {edited(func(r *wire.Receipt) { r.Links = nil }), false},
		"links nobody signed":    {p.receipt(8, 9, p.at(1, 8), p.at(2, 8)), false},
		"a link left out":        {edited(func(r *wire.Receipt) { r.Links = p.receipt(9, 9).Links }), false},
		"links out of order":     {edited(func(r *wire.Receipt) { r.Links = slices.Concat(p.receipt(9, 9).Links, r.Links) }), false},
		"no chain":               {edited(func(r *wire.Receipt) { r.Before = nil }), false},
		"signed before":          {edited(func(r *wire.Receipt) { r.Signatures[1] = p.at(2, 7) }), false},
		"the founding":           {edited(func(r *wire.Receipt) { r.Index = 1 }), false},
		"index zero":             {edited(func(r *wire.Receipt) { r.Index = 0 }), false},
		"nothing":                {&wire.Receipt{}, false},
		"a transaction of zeros": {edited(func(r *wire.Receipt) { r.Links[0].Transaction = make([]byte, 32) }), false},
	} {
		r, err := ParseReceipt(c.r)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.ok && err == nil && (r.Index != 8 || r.Term != 2 || len(r.Signers) != len(c.r.Signatures) || r.Transaction.GetId()[0] != 7) {
			t.Errorf("%s: parsed as %+v", name, r)
		}
	}
	long := newProofs(t, "demo")
	for i := range linksMax + 2 {
		long.push(byte(i+20), 2)
	}
	if _, err := ParseReceipt(long.receipt(8, 8+linksMax-1, long.at(1, 8+linksMax-1), long.at(2, 8))); err != nil {
		t.Error(err)
	}
	if _, err := ParseReceipt(long.receipt(8, 8+linksMax, long.at(1, 8+linksMax), long.at(2, 8))); err == nil {
		t.Error("a receipt of any length was taken")
	}
}

// TestContradiction compares receipts of one log, and of two.
func TestContradiction(t *testing.T) {
	p, q, there := newProofs(t, "demo"), newProofs(t, "demo"), newProofs(t, "elsewhere")
	q.links, q.log = q.links[:6], q.log[:6] // another entry 8
	q.push(77, 2)
	q.push(78, 3)
	must := func(r *wire.Receipt) *Receipt {
		t.Helper()
		parsed, err := ParseReceipt(r)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	at := func(p *proofs, index, end uint64, a, b uint64) *Receipt {
		return must(p.receipt(index, end, p.at(a, index), p.at(b, end)))
	}
	for name, c := range map[string]struct {
		a, b       *Receipt
		comparable bool
		index      uint64
		both       []uint64
	}{
		"the same":            {at(p, 8, 8, 1, 2), at(p, 8, 8, 2, 3), true, 0, nil},
		"one goes on":         {at(p, 8, 9, 1, 2), at(p, 9, 9, 2, 3), true, 0, nil},
		"the next":            {at(p, 8, 8, 1, 2), at(p, 9, 9, 2, 3), true, 0, nil},
		"far apart":           {at(p, 6, 6, 1, 2), at(p, 9, 9, 2, 3), false, 0, nil},
		"another entry":       {at(p, 8, 8, 1, 2), at(q, 8, 8, 2, 3), true, 8, []uint64{2}},
		"two who lie":         {at(p, 8, 8, 1, 2), at(q, 8, 8, 2, 1), true, 8, []uint64{1, 2}},
		"met further on":      {at(p, 7, 8, 1, 2), at(q, 8, 9, 2, 3), true, 8, []uint64{2}},
		"before it":           {at(p, 9, 9, 1, 2), at(q, 8, 8, 2, 3), true, 8, []uint64{2}},
		"the one before both": {at(p, 7, 7, 1, 2), at(q, 8, 8, 2, 3), true, 0, nil},
		"another repository":  {at(p, 8, 8, 1, 2), at(there, 8, 8, 1, 2), false, 0, nil},
	} {
		for _, order := range [][2]*Receipt{{c.a, c.b}, {c.b, c.a}} {
			found, comparable := order[0].Contradicts(order[1])
			if comparable != c.comparable || (found != nil) != (c.index != 0) {
				t.Errorf("%s: %+v, comparable %v", name, found, comparable)
				continue
			}
			if found == nil {
				continue
			}
			var both []uint64
			for _, peer := range found.Both {
				for id := uint64(1); id <= 3; id++ {
					if seatKey(id).PeerID() == peer {
						both = append(both, id)
					}
				}
			}
			slices.Sort(both)
			if found.Index != c.index || !slices.Equal(both, c.both) {
				t.Errorf("%s: at %d by %v, want %d by %v", name, found.Index, both, c.index, c.both)
			}
		}
	}
}

// held is what a follower's acknowledgements say of its disk.
func heldIn(sent []*pb.Message) (list []*wire.Held) {
	for _, m := range sent {
		if v := new(wire.Vouch); proto.Unmarshal(m.GetContext(), v) == nil && v.GetHeld() != nil {
			list = append(list, v.GetHeld())
		}
	}
	return list
}

// TestAttests looks at what a follower signs, and when.
func TestAttests(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(1, nil))
	if list := heldIn(f.turns()); len(list) != 0 {
		t.Errorf("signed where there is no transaction: %v", list)
	}
	m := f.append(1, nil, f.entry(1, ""), f.entry(2, ""))
	f.mustStep(m)
	list := heldIn(f.turns())
	if len(list) != 1 || list[0].GetIndex() != 4 || list[0].GetTerm() != 2 || list[0].GetGeneration() != 0 {
		t.Fatalf("signed %v", list)
	}
	c, at := f.table.members.Lineage.Last(), f.trail.at(4)
	if !c.holds(f.Self(), f.genesis, 4, 2, at.chain, list[0].GetSignature()) {
		t.Error("the signature is over something else")
	}
	if f.table.Index() != 1 {
		t.Fatalf("entry %d is applied", f.table.Index())
	}
	m.Commit = new(uint64(4))
	f.mustStep(m)
	f.turns()
	if !bytes.Equal(f.table.Chain(), at.chain[:]) {
		t.Error("what was signed is not what was applied")
	}
	// An entry of an older term, which may still be replaced.
	old := f.message(pb.MsgApp)
	old.Term, old.Index, old.LogTerm, old.Commit = new(uint64(4)), new(uint64(4)), new(uint64(2)), new(uint64(4))
	old.Entries = []*pb.Entry{{Type: pb.EntryNormal.Enum(), Term: new(uint64(3)), Index: new(uint64(5)), Data: f.entry(5, "")}}
	f.mustStep(old)
	if list := heldIn(f.turns()); len(list) != 0 {
		t.Errorf("signed an entry of term 3 in term 4: %v", list)
	}
	// A change of members that is not applied yet.
	conf := f.message(pb.MsgApp)
	conf.Term, conf.Index, conf.LogTerm, conf.Commit = new(uint64(4)), new(uint64(5)), new(uint64(3)), new(uint64(4))
	conf.Entries = []*pb.Entry{
		{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(4)), Index: new(uint64(6)), Data: encode(&pb.ConfChangeV2{Context: []byte{1}})},
		{Type: pb.EntryNormal.Enum(), Term: new(uint64(4)), Index: new(uint64(7)), Data: f.entry(7, "")},
	}
	f.mustStep(conf)
	if list := heldIn(f.turns()); len(list) != 0 {
		t.Errorf("signed beyond a change of members: %v", list)
	}
}

// TestEvidence has a leader make a receipt of what followers sent.
func TestEvidence(t *testing.T) {
	f := newFollower(t)
	f.lead()
	propose := func(id byte) {
		t.Helper()
		e := new(wire.Entry)
		if err := proto.Unmarshal(f.entry(id, ""), e); err != nil {
			t.Fatal(err)
		}
		if err := f.Propose(e); err != nil {
			t.Fatal(err)
		}
	}
	propose(1)
	propose(2) // entries 3 and 4
	f.turns()
	ack := func(seat, index, term uint64, key identity.Key) *pb.Message {
		at := f.trail.at(index)
		return &pb.Message{Type: pb.MsgAppResp.Enum(), From: new(seat), To: new(uint64(1)), Term: new(uint64(2)), Index: new(index),
			Context: encode(&wire.Vouch{Held: &wire.Held{Term: term, Index: index,
				Signature: key.Sign(identity.DomainReceipt, position(f.table.members.Lineage.Last(), f.genesis, index, 2, at.chain))}})}
	}
	receipt := func(index uint64) (*wire.Receipt, error) {
		t.Helper()
		e, err := f.Evidence(index)
		if err != nil {
			return nil, err
		}
		return e.Receipt(testKey(100))
	}
	if _, err := f.Evidence(3); !errors.Is(err, ErrNoReceipt) {
		t.Errorf("evidence of what is not committed: %v", err)
	}
	step := func(m *pb.Message) {
		t.Helper()
		if _, err := f.Step(f.genesis.Members[m.GetFrom()-1].Peer, m); err != nil {
			t.Fatal(err)
		}
		f.turns()
	}
	step(ack(3, 4, 2, testKey(101))) // with another's key: it commits, and proves nothing
	if _, err := receipt(3); !errors.Is(err, ErrNoReceipt) {
		t.Errorf("a receipt by one of three: %v", err)
	}
	step(ack(2, 4, 1, testKey(101))) // of another term
	if _, err := receipt(3); !errors.Is(err, ErrNoReceipt) {
		t.Errorf("a receipt with a signature of another term: %v", err)
	}
	step(ack(2, 4, 2, testKey(101)))
	for index := uint64(3); index <= 4; index++ {
		r, err := receipt(index)
		if err != nil {
			t.Fatal(err)
		}
		r.Genesis = f.genesis.Signed
		e := new(wire.Entry)
		if err := proto.Unmarshal(f.entry(byte(index-2), ""), e); err != nil {
			t.Fatal(err)
		}
		r.Transaction = e.GetTransaction()
		if parsed, err := ParseReceipt(r); err != nil || parsed.Index != index || len(parsed.Signers) != 2 || parsed.Voters() != 3 {
			t.Errorf("receipt for entry %d: %+v, %v", index, parsed, err)
		}
	}
}

// TestTwoEntriesAtOneIndex has a leader take back an entry of its own term.
func TestTwoEntriesAtOneIndex(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(1, f.entry(1, ""), f.entry(2, "")))
	f.turns()
	liar := f.append(1, f.entry(3, ""))
	liar.Entries[0].Term = new(uint64(1)) // so that raft sees a conflict
	if _, err := f.Step(f.leader(), liar); err != nil {
		return
	}
	if _, err := f.Turn(); err == nil {
		t.Error("a leader wrote two entries at one index, and nobody noticed")
	}
}

// TestOldChain loads a table that was written before receipts were.
func TestOldChain(t *testing.T) {
	b := newBench(t)
	meta := proto.CloneOf(b.table.meta)
	for version, want := range map[uint32]error{0: ErrOldChain, 1: nil, 2: ErrUpgrade} {
		meta.ChainVersion = version
		b.stored[keyMeta] = encode(meta)
		if _, err := LoadTable(func(f func(string, []byte) error) error {
			for key, value := range b.stored {
				if err := f(key, value); err != nil {
					return err
				}
			}
			return nil
		}, testRules); !errors.Is(err, want) {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// FuzzParseReceipt decodes receipts from outside: what is taken is signed by a majority
// of the founders, and by nobody else.
func FuzzParseReceipt(f *testing.F) {
	p := newProofs(f, "demo")
	f.Add(encode(p.receipt(8, 8, p.at(1, 8), p.at(2, 8))))
	f.Add(encode(p.receipt(8, 10, p.at(3, 10), p.at(1, 9))))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := new(wire.Receipt)
		if proto.Unmarshal(data, raw) != nil {
			return
		}
		r, err := ParseReceipt(raw)
		if err != nil {
			return
		}
		if r.Genesis.Hash != p.g.Hash || len(r.Signers) < 2 || r.Index < 2 || r.Index > 11 || r.chains[1] != p.chain(r.Index) {
			t.Fatalf("took a receipt that nobody gave: %+v", r)
		}
		if c, _ := r.Contradicts(r); c != nil {
			t.Fatal("it contradicts itself")
		}
	})
}
