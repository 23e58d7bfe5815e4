package replica

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// seatsOf are voters as a configuration names them.
func seatsOf(ids ...uint64) (voters []Member) {
	for _, id := range ids {
		voters = append(voters, Member{RaftID: id, Peer: seatKey(id).PeerID(), Nonce: make([]byte, NonceBytes)})
	}
	return voters
}

// signedBy is a certificate with the signatures of the nodes of seats, as they come.
func signedBy(next *Configuration, d identity.Domain, seats ...uint64) *wire.Certificate {
	cert := &wire.Certificate{Configuration: bytes.Clone(next.Body)}
	for _, id := range seats {
		cert.Endorsements = append(cert.Endorsements, &wire.Endorsement{RaftId: id, Signature: seatKey(id).Sign(d, next.Body)})
	}
	return cert
}

func mustWith(t testing.TB, l *Lineage, index uint64, voters []Member, by ...uint64) *Lineage {
	t.Helper()
	next, err := l.With(signedBy(l.Last().next(l.genesis, index, voters), identity.DomainConfiguration, by...))
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// TestCertificates goes from 1 2 3 over 1 2 4, as entry 5, on, by certificates that
// hold and by such that were made up, cut out of others, or moved from elsewhere.
func TestCertificates(t *testing.T) {
	g := foundedBy(t, 3)
	body := testGenesis(3)
	body.Name = "elsewhere"
	elsewhere, err := NewGenesis(owner, body)
	if err != nil {
		t.Fatal(err)
	}
	const d = identity.DomainConfiguration
	l := mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2)
	there := mustWith(t, elsewhere.Lineage(), 5, seatsOf(1, 2, 4), 1, 2)
	next := l.Last().next(g, 9, seatsOf(1, 4, 5))
	edited := func(edit func(*wire.Configuration)) *Configuration {
		c := new(wire.Configuration)
		if err := proto.Unmarshal(next.Body, c); err != nil {
			t.Fatal(err)
		}
		edit(c)
		return &Configuration{Body: encode(c)}
	}
	with := func(edit func(*wire.Certificate)) *wire.Certificate {
		cert := signedBy(next, d, 1, 2)
		edit(cert)
		return cert
	}
	twoSeats := append(seatsOf(1, 2), Member{RaftID: 6, Peer: seatKey(2).PeerID(), Nonce: make([]byte, NonceBytes)})
	for name, c := range map[string]struct {
		from *Lineage
		cert *wire.Certificate
		good bool
	}{
		"a majority":              {l, signedBy(next, d, 1, 2), true},
		"all":                     {l, signedBy(next, d, 4, 2, 1), true},
		"one that stays, one new": {l, signedBy(next, d, 1, 4), true},
		"a minority":              {l, signedBy(next, d, 1), false},
		"nobody":                  {l, signedBy(next, d), false},
		"by those to come":        {l, signedBy(next, d, 1, 5), false},
		"all of those to come":    {l, signedBy(next, d, 1, 4, 5), false},
		"by one who left":         {l, signedBy(next, d, 1, 3), false},
		"one twice":               {l, signedBy(next, d, 1, 1), false},
		"one twice, and enough":   {l, signedBy(next, d, 1, 2, 2), false},
		"by a stranger":           {l, signedBy(next, d, 1, 50), false},
		"other's seat":            {l, with(func(c *wire.Certificate) { c.Endorsements[1].RaftId = 4 }), false},
		"broken signature":        {l, with(func(c *wire.Certificate) { c.Endorsements[1].Signature[5] ^= 1 }), false},
		"no signature":            {l, with(func(c *wire.Certificate) { c.Endorsements[1].Signature = nil }), false},
		"enough, and a broken one": {l, with(func(c *wire.Certificate) {
			c.Endorsements = append(c.Endorsements, &wire.Endorsement{RaftId: 4, Signature: make([]byte, 64)})
		}), false},
		"other body":            {l, with(func(c *wire.Certificate) { c.Configuration[len(c.Configuration)-1] ^= 1 }), false},
		"no body":               {l, with(func(c *wire.Certificate) { c.Configuration = nil }), false},
		"no certificate":        {l, nil, false},
		"for another purpose":   {l, signedBy(next, identity.DomainHint, 1, 2), false},
		"as an introduction":    {l, signedBy(next, identity.DomainIntroduction, 1, 2), false},
		"the same again":        {l, l.certificates[0], false},
		"a step left out":       {g.Lineage(), signedBy(next, d, 1, 2), false},
		"another repository":    {l, there.certificates[0], false},
		"another repository's":  {g.Lineage(), there.certificates[0], false},
		"grafted":               {l, signedBy(there.Last().next(g, 9, seatsOf(1, 4, 5)), d, 1, 2), false},
		"other generation":      {l, signedBy(edited(func(c *wire.Configuration) { c.Generation++ }), d, 1, 2), false},
		"the same generation":   {l, signedBy(g.configuration().next(g, 9, seatsOf(1, 4, 5)), d, 1, 2), false},
		"an earlier entry":      {l, signedBy(l.Last().next(g, 5, seatsOf(1, 4, 5)), d, 1, 2), false},
		"an even number":        {l, signedBy(l.Last().next(g, 9, seatsOf(1, 4)), d, 1, 2), false},
		"nobody votes":          {l, signedBy(l.Last().next(g, 9, nil), d, 1, 2), false},
		"too many":              {l, signedBy(l.Last().next(g, 9, seatsOf(1, 2, 3, 4, 5, 6, 7, 8, 9)), d, 1, 2), false},
		"out of order":          {l, signedBy(edited(func(c *wire.Configuration) { slices.Reverse(c.Voters) }), d, 1, 2), false},
		"with roles":            {l, signedBy(edited(func(c *wire.Configuration) { c.Voters[0].Role = Outgoing }), d, 1, 2), false},
		"with proofs":           {l, signedBy(edited(func(c *wire.Configuration) { c.Voters[0].Proof = []*wire.Signed{{}} }), d, 1, 2), false},
		"with something more":   {l, signedBy(&Configuration{Body: append(bytes.Clone(next.Body), 0x98, 0x06, 0x01)}, d, 1, 2), false},
		"too long":              {l, signedBy(edited(func(c *wire.Configuration) { c.Previous = make([]byte, configurationBytesMax) }), d, 1, 2), false},
		"two seats of one node": {mustWith(t, g.Lineage(), 5, twoSeats, 1, 2), signedBy(mustWith(t, g.Lineage(), 5, twoSeats, 1, 2).Last().next(g, 9, seatsOf(1)), d, 2, 6), false},
	} {
		last := c.from.Last()
		after, err := c.from.With(c.cert)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if c.from.Last() != last {
			t.Errorf("%s: the lineage changed", name)
		}
		raw := c.from.Wire()
		raw.Certificates = append(slices.Clone(raw.Certificates), c.cert)
		if parsed, err := ParseLineage(g, raw); (err == nil) != c.good || c.good && parsed.Last().Hash != after.Last().Hash {
			t.Errorf("%s, parsed: %v", name, err)
		}
	}
}

// TestLineage looks at what a lineage proves, and how long it may be.
func TestLineage(t *testing.T) {
	g := foundedBy(t, 3)
	l := mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2)
	fork := mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 5), 1, 2)
	longer := mustWith(t, l, 9, seatsOf(4, 5, 6), 2, 4)
	for _, c := range []struct {
		name string
		a, b *Lineage
		want bool
	}{
		{"itself", l, l, true}, {"a longer one", longer, l, true}, {"the genesis", l, g.Lineage(), true},
		{"a shorter one", l, longer, false}, {"a fork", l, fork, false}, {"a fork, longer", longer, fork, false},
	} {
		if got := c.a.Extends(c.b); got != c.want {
			t.Errorf("%s: extends: %v", c.name, got)
		}
	}
	if !l.Same(l.Wire()) || l.Same(longer.Wire()) || g.Lineage().Same(l.Wire()) {
		t.Error("same")
	}
	full := g.Lineage()
	for i := range certificatesMax {
		full = mustWith(t, full, uint64(i+2), seatsOf(1, 2, 3), 1, 2)
	}
	over := signedBy(full.Last().next(g, 99, seatsOf(1)), identity.DomainConfiguration, 1, 2)
	if _, err := full.With(over); err == nil || !full.Full() || l.Full() {
		t.Error("a lineage grows without end")
	}
	raw := full.Wire()
	if _, err := ParseLineage(g, raw); err != nil {
		t.Error(err)
	}
	raw.Certificates = append(slices.Clone(raw.Certificates), over)
	if _, err := ParseLineage(g, raw); err == nil {
		t.Error("a lineage that is too long was taken")
	}
	if size := proto.Size(full.Wire()); size > wire.RecordBytesMax*3/4 {
		t.Errorf("a whole lineage has %d bytes: no room in a record", size)
	}
}

// TestVerifySeat looks at seats that a configuration names, and at introductions.
func TestVerifySeat(t *testing.T) {
	g := foundedBy(t, 3)
	body := testGenesis(3)
	body.Name = "elsewhere"
	elsewhere, err := NewGenesis(owner, body)
	if err != nil {
		t.Fatal(err)
	}
	l := mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2)
	seat := func(id uint64, proof ...*wire.Signed) Member {
		m := seatsOf(id)[0]
		m.Proof = proof
		return m
	}
	by := func(k identity.Key, of *Genesis, id uint64) *wire.Signed {
		proof, err := Introduce(k, of, seatKey(id).PeerID(), id)
		if err != nil {
			t.Fatal(err)
		}
		return proof[0]
	}
	edited := func(edit func(*wire.Signed)) *wire.Signed {
		s := by(seatKey(1), g, 5)
		edit(s)
		return s
	}
	for name, c := range map[string]struct {
		seat Member
		good bool
	}{
		"founder":               {seat(2), true},
		"founder that left":     {seat(3), true},
		"certified":             {seat(4), true},
		"introduced":            {seat(5, by(seatKey(1), g, 5)), true},
		"by a certified one":    {seat(5, by(seatKey(4), g, 5)), true},
		"nobody's":              {seat(5), false},
		"twice":                 {seat(5, by(seatKey(1), g, 5), by(seatKey(2), g, 5)), false},
		"by itself":             {seat(5, by(seatKey(5), g, 5)), false},
		"by an introduced one":  {seat(6, by(seatKey(5), g, 6)), false},
		"by the owner":          {seat(5, by(owner, g, 5)), false},
		"other's seat":          {Member{RaftID: 2, Peer: seatKey(3).PeerID(), Nonce: make([]byte, NonceBytes)}, false},
		"a voter's seat":        {Member{RaftID: 4, Peer: seatKey(9).PeerID(), Nonce: make([]byte, NonceBytes), Proof: []*wire.Signed{by(seatKey(1), g, 4)}}, false},
		"another disk":          {Member{RaftID: 4, Peer: seatKey(4).PeerID(), Nonce: bytes.Repeat([]byte{1}, NonceBytes)}, false},
		"another seat's":        {seat(5, by(seatKey(1), g, 6)), false},
		"of another repository": {seat(5, by(seatKey(1), elsewhere, 5)), false},
		"broken signature":      {seat(5, edited(func(s *wire.Signed) { s.Signature[3] ^= 1 })), false},
		"other signer":          {seat(5, edited(func(s *wire.Signed) { p := seatKey(2).Public(); s.Signer = p[:] })), false},
		"no signer":             {seat(5, edited(func(s *wire.Signed) { s.Signer = nil })), false},
		"other purpose":         {seat(5, edited(func(s *wire.Signed) { s.Signature = seatKey(1).Sign(identity.DomainHint, s.Body) })), false},
		"nothing signed":        {seat(5, nil), false},
	} {
		if err := l.VerifySeat(c.seat); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := l.ParseSeats([]*wire.Member{c.seat.Wire()}); (err == nil) != c.good {
			t.Errorf("%s, parsed: %v", name, err)
		}
	}
}

// TestCheckpoint has the owner confirm the voters: what came before is needed no more.
func TestCheckpoint(t *testing.T) {
	g := foundedBy(t, 3)
	l := mustWith(t, mustWith(t, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2), 9, seatsOf(4, 5, 6), 2, 4)
	confirm := func(k identity.Key, of *Genesis, hash []byte) *wire.Signed {
		public := k.Public()
		s, err := Seal(k, identity.DomainTransaction, &wire.Transaction{Genesis: of.Hash[:], Signer: public[:], Operations: []*wire.Operation{
			{Kind: &wire.Operation_Configure{Configure: &wire.Configure{Configuration: hash}}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	body := testGenesis(3)
	body.Name = "elsewhere"
	elsewhere, err := NewGenesis(owner, body)
	if err != nil {
		t.Fatal(err)
	}
	last := l.Last()
	short, err := l.confirmed(confirm(owner, g, last.Hash[:]), last, nil)
	if err != nil {
		t.Fatal(err)
	}
	short = mustWith(t, short, 12, seatsOf(4), 4, 6)
	parsed, err := ParseLineage(g, short.Wire())
	if err != nil || !parsed.Same(short.Wire()) || parsed.Last().Generation != 3 || !parsed.Extends(l) || !parsed.Extends(g.Lineage()) || l.Extends(parsed) {
		t.Errorf("a lineage that begins at a checkpoint: %v", err)
	}
	for name, raw := range map[string]*wire.Lineage{
		"by a writer":              {Checkpoint: confirm(writer, g, last.Hash[:]), Configuration: last.Body},
		"of another repository":    {Checkpoint: confirm(owner, elsewhere, last.Hash[:]), Configuration: last.Body},
		"of another one":           {Checkpoint: confirm(owner, g, l.configurations[1].Hash[:]), Configuration: last.Body},
		"of none":                  {Checkpoint: confirm(owner, g, nil), Configuration: last.Body},
		"that is not there":        {Checkpoint: confirm(owner, g, last.Hash[:])},
		"nobody confirmed":         {Configuration: last.Body},
		"signed as something else": {Checkpoint: &wire.Signed{Body: last.Body, Signer: g.Owner[:], Signature: owner.Sign(identity.DomainConfiguration, last.Body)}, Configuration: last.Body},
	} {
		if _, err := ParseLineage(g, raw); err == nil {
			t.Errorf("a checkpoint %s was taken", name)
		}
	}
}

// TestConfirmed applies the owner's word to a table whose voters changed.
func TestConfirmed(t *testing.T) {
	f := newFollower(t)
	f.become("1 2 3- 4+")
	f.mustConclude(1, 2)
	f.wantMembers("1 2 4")
	hash := bytes.Clone(f.table.members.Lineage.Last().Hash[:])
	public := owner.Public()
	apply := func(id byte, hash []byte, more ...*wire.Operation) {
		ops := append([]*wire.Operation{{Kind: &wire.Operation_Configure{Configure: &wire.Configure{
			OldVersion: f.table.Settings().GetVersion(), Settings: &wire.Settings{Replicas: 3}, Configuration: hash,
		}}}}, more...)
		signed, err := Seal(owner, identity.DomainTransaction, &wire.Transaction{
			Genesis: f.genesis.Hash[:], Signer: public[:], Id: bytes.Repeat([]byte{id}, TransactionIDBytes), Window: WindowMax, Atomic: true, Operations: ops,
		})
		if err != nil {
			t.Fatal(err)
		}
		last := f.table.Index()
		m := f.append(last+1, encode(&wire.Entry{Version: entryVersion, Transaction: signed}))
		m.Index, m.LogTerm, m.Entries[0].Index = new(last), new(f.termOf(last)), new(last+1)
		f.mustStep(m)
		f.turns()
		stored, err := LoadTable(scanChanges(f.everything()), testRules)
		if err != nil || !stored.members.Lineage.Same(f.table.members.Lineage.Wire()) {
			t.Fatalf("the store holds another lineage: %v", err)
		}
	}
	apply(1, bytes.Repeat([]byte{1}, 32))
	apply(2, hash[:5])
	apply(3, hash, move("heads/../x", 0, 1)) // fails as a whole
	if l := f.table.members.Lineage; l.checkpoint != nil || len(l.certificates) != 1 {
		t.Error("what the owner did not say confirmed the voters")
	}
	apply(4, hash)
	if l := f.table.members.Lineage; l.checkpoint == nil || len(l.certificates) != 0 || !bytes.Equal(l.Last().Hash[:], hash) {
		t.Error("the owner's word confirmed nothing")
	}
	f.wantMembers("1 2 4")
}

// FuzzParseLineage decodes lineages from outside: what is taken is written as the
// same bytes.
func FuzzParseLineage(f *testing.F) {
	g := foundedBy(f, 3)
	l := mustWith(f, mustWith(f, g.Lineage(), 5, seatsOf(1, 2, 4), 1, 2), 9, seatsOf(4, 5, 6), 2, 4)
	f.Add(encode(l.Wire()))
	f.Add(encode(g.Lineage().Wire()))
	f.Add([]byte{0x0a, 0x00, 0x1a, 0x00})
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := new(wire.Lineage)
		if proto.Unmarshal(data, raw) != nil {
			return
		}
		parsed, err := ParseLineage(g, raw)
		if err != nil {
			return
		}
		if again, err := ParseLineage(g, parsed.Wire()); err != nil || !again.Same(parsed.Wire()) {
			t.Fatalf("parsed twice: %v", err)
		}
		if last := parsed.Last(); last.Generation > 2 {
			t.Fatalf("generation %d was made up", last.Generation)
		}
	})
}
