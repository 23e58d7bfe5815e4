package replica

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// TestVerifySeat follows chains of introductions, good ones and forged ones.
func TestVerifySeat(t *testing.T) {
	g := foundedBy(t, 3)
	body := testGenesis(3)
	body.Name = "elsewhere"
	elsewhere, err := NewGenesis(owner, body)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(by identity.Key, in *wire.Introduction) *wire.Signed {
		s, err := Seal(by, identity.DomainIntroduction, in)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	link := func(by, to uint64) *wire.Signed {
		return signed(seatKey(by), &wire.Introduction{Genesis: g.Hash[:], Peer: []byte(seatKey(to).PeerID()), RaftId: to})
	}
	chain := func(seats ...uint64) (proof []*wire.Signed) {
		for i := range len(seats) - 1 {
			proof = append(proof, link(seats[i], seats[i+1]))
		}
		return proof
	}
	long := make([]uint64, proofMax+2)
	for i := range long {
		long[i] = uint64(i + 3)
	}
	seat := func(raftID uint64, proof []*wire.Signed) Member {
		return Member{RaftID: raftID, Peer: seatKey(raftID).PeerID(), Proof: proof}
	}
	edited := func(edit func(*wire.Signed)) []*wire.Signed {
		s := link(1, 4)
		edit(s)
		return []*wire.Signed{s}
	}
	for name, c := range map[string]struct {
		seat Member
		good bool
	}{
		"founder":                     {seat(2, nil), true},
		"by a founder":                {seat(4, chain(1, 4)), true},
		"over another":                {seat(5, chain(3, 4, 5)), true},
		"over a founder":              {seat(6, chain(1, 2, 6)), true},
		"as long as may be":           {seat(long[proofMax], chain(long[:proofMax+1]...)), true},
		"too long":                    {seat(long[proofMax+1], chain(long...)), false},
		"no proof":                    {seat(4, nil), false},
		"other's seat":                {Member{RaftID: 2, Peer: seatKey(3).PeerID()}, false},
		"founder's seat with a proof": {Member{RaftID: 2, Peer: seatKey(9).PeerID(), Proof: []*wire.Signed{signed(seatKey(1), &wire.Introduction{Genesis: g.Hash[:], Peer: []byte(seatKey(9).PeerID()), RaftId: 2})}}, false},
		"founder's seat, its proof":   {seat(2, chain(1, 2)), false},
		"by nobody known":             {seat(5, chain(4, 5)), false},
		"by itself":                   {seat(4, chain(4, 4)), false},
		"gap":                         {seat(7, []*wire.Signed{link(1, 4), link(5, 7)}), false},
		"wrong order":                 {seat(4, []*wire.Signed{link(4, 5), link(1, 4)}), false},
		"another's proof":             {seat(5, chain(1, 4)), false},
		"another seat":                {Member{RaftID: 5, Peer: seatKey(4).PeerID(), Proof: chain(1, 4)}, false},
		"ends too early":              {seat(4, chain(1, 4, 5)), false},
		"other genesis":               {seat(4, []*wire.Signed{signed(seatKey(1), &wire.Introduction{Genesis: elsewhere.Hash[:], Peer: []byte(seatKey(4).PeerID()), RaftId: 4})}), false},
		"no genesis":                  {seat(4, []*wire.Signed{signed(seatKey(1), &wire.Introduction{Peer: []byte(seatKey(4).PeerID()), RaftId: 4})}), false},
		"broken signature":            {seat(4, edited(func(s *wire.Signed) { s.Signature[3] ^= 1 })), false},
		"other signer":                {seat(4, edited(func(s *wire.Signed) { p := seatKey(2).Public(); s.Signer = p[:] })), false},
		"no signer":                   {seat(4, edited(func(s *wire.Signed) { s.Signer = nil })), false},
		"other purpose":               {seat(4, edited(func(s *wire.Signed) { s.Signature = seatKey(1).Sign(identity.DomainHint, s.Body) })), false},
		"nothing signed":              {seat(4, []*wire.Signed{nil}), false},
		"by the owner":                {seat(4, []*wire.Signed{signed(owner, &wire.Introduction{Genesis: g.Hash[:], Peer: []byte(seatKey(4).PeerID()), RaftId: 4})}), false},
	} {
		if err := VerifySeat(g, c.seat); (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		c.seat.Nonce = make([]byte, NonceBytes)
		if m, err := ParseSeat(g, c.seat.Wire()); (err == nil) != c.good || c.good && m.RaftID != c.seat.RaftID {
			t.Errorf("%s, parsed: %v", name, err)
		}
		if _, err := ParseSeats(g, []*wire.Member{seat1(g), c.seat.Wire()}); (err == nil) != (c.good && c.seat.RaftID != 1) {
			t.Errorf("%s, in a list: %v", name, err)
		}
	}
	if _, err := Introduce(seatKey(9), g, seat(long[proofMax], chain(long[:proofMax+1]...)), stranger.PeerID(), 99); err == nil {
		t.Error("a seat was introduced over too many others")
	}
	if _, err := ParseSeats(g, nil); err != nil {
		t.Errorf("no seats: %v", err)
	}
}

func seat1(g *Genesis) *wire.Member { return g.Members[0].Wire() }

// configuration is what raft has in its memory.
func (f *follower) configuration() string {
	tr := tracker.ProgressTracker{Config: f.rn.Status().Config}
	return spellConf(tr.ConfState())
}

// conf steps an append of one configuration entry after those that are there,
// committed at once.
func (f *follower) conf(data []byte) error {
	last := f.table.Index()
	m := f.message(pb.MsgApp)
	m.Index, m.LogTerm, m.Commit = new(last), new(f.termOf(last)), new(last+1)
	m.Entries = []*pb.Entry{{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(2)), Index: new(last + 1), Data: data}}
	if _, err := f.Step(f.leader(), m); err != nil {
		return err
	}
	f.turns()
	if f.table.Index() != last+1 {
		f.Errorf("a configuration entry was not applied")
	}
	return nil
}

func (f *follower) mustConf(next *Membership) {
	f.Helper()
	if err := f.conf(encode(f.table.members.change(next))); err != nil {
		f.Fatal(err)
	}
	f.wantMembers(next.spell())
}

// wantMembers compares table, raft, what is stored and what raft was told to keep.
func (f *follower) wantMembers(want string) {
	f.Helper()
	ms := f.table.members
	stored, err := membershipOf(f.table.meta, f.genesis)
	if err != nil {
		f.Fatal(err)
	}
	for name, got := range map[string]string{"table": ms.spell(), "stored": stored.spell(), "raft": f.configuration(), "saved": spellConf(f.saved)} {
		if got != want {
			f.Errorf("%s has members %s, want %s", name, got, want)
		}
	}
	if stored.NextRaftID != ms.NextRaftID || stored.Index != ms.Index {
		f.Errorf("stored: next seat %d as of %d, want %d as of %d", stored.NextRaftID, stored.Index, ms.NextRaftID, ms.Index)
	}
}

// TestChangesOfMembers goes from three to five and back to one by entries, and
// looks at table and raft after each.
func TestChangesOfMembers(t *testing.T) {
	f := newFollower(t)
	admit := func(raftID uint64) *Membership {
		p := seatKey(raftID).PeerID()
		return f.table.members.Admit(p, make([]byte, NonceBytes), introduce(t, f.genesis, p, raftID))
	}
	f.mustConf(admit(4))
	f.mustConf(admit(5))
	f.mustConf(f.table.members.Become([]uint64{1, 2, 3, 4, 5})) // "1 2 3 4+ 5+"
	if err := f.conf(nil); err != nil {                         // raft's own, which leaves it
		t.Fatal(err)
	}
	f.wantMembers("1 2 3 4 5")
	f.mustConf(admit(6))
	f.mustConf(f.table.members.Drop(6))
	if f.table.members.NextRaftID != 7 {
		t.Errorf("the next seat is %d after seat 6 was dropped", f.table.members.NextRaftID)
	}
	f.mustConf(admit(7))
	f.mustConf(f.table.members.Become([]uint64{7}))
	f.wantMembers("1- 2- 3- 4- 5- 7+")
	if err := f.conf(nil); err != nil {
		t.Fatal(err)
	}
	f.wantMembers("7")
	if self := f.Self(); self.Votes() || self.RaftID != 1 {
		t.Errorf("a member without a seat is %+v", self)
	}
}

// TestRefusedChanges applies entries that may not follow: they change nothing,
// and raft and the table stay equal.
func TestRefusedChanges(t *testing.T) {
	for name, c := range map[string]struct {
		from string
		make func(ms *Membership) *pb.ConfChangeV2
	}{
		"leave what is not joint": {"1 2 3", func(*Membership) *pb.ConfChangeV2 { return &pb.ConfChangeV2{} }},
		"enter twice":             {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(ms.Become([]uint64{1, 2, 3})) }},
		"a newcomer in between":   {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(withSeat(t, ms, 1)) }},
		"a newcomer":              {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return without(ms.change(withSeat(t, ms, 1)), "context") }},
		"without its change":      {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return without(ms.change(withSeat(t, ms, 1)), "changes") }},
		"with another change": {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(withSeat(t, ms, 1))
			cc.Changes[0].Type = pb.ConfChangeType_ConfChangeAddNode.Enum()
			return cc
		}},
		"of another seat": {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(withSeat(t, ms, 1))
			cc.Changes[0].NodeId = new(uint64(99))
			return cc
		}},
		"a change more": {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(withSeat(t, ms, 1))
			cc.Changes = append(cc.Changes, cc.Changes[0])
			return cc
		}},
		"left by hand": {"1 2 3 4? 5?", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(ms.Become([]uint64{1, 2, 3, 4, 5}))
			cc.Transition = pb.ConfChangeTransition_ConfChangeTransitionJointExplicit.Enum()
			return cc
		}},
		"not joint": {"1 2 3 4? 5?", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(ms.Become([]uint64{1, 2, 3, 4, 5}))
			cc.Transition = nil
			return cc
		}},
		"an even number":    {"1 2 3 4?", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(ms.Become([]uint64{1, 2, 3, 4})) }},
		"two at once":       {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(withSeat(t, withSeat(t, ms, 1), 1)) }},
		"two go at once":    {"1 2 3 4? 5?", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(ms.Drop(4).Drop(5)) }},
		"a forged newcomer": {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(withSeat(t, ms, 50)) }},
		"no proof": {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 {
			return ms.change(ms.Admit(stranger.PeerID(), make([]byte, NonceBytes), nil))
		}},
		"a proof that changes": {"1 2 3 4? 5?", func(ms *Membership) *pb.ConfChangeV2 {
			next := ms.Drop(5)
			next.Members[3].Proof = nil
			return ms.change(next)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t)
			f.become(c.from)
			meta := proto.Clone(f.table.meta).(*wire.TableMeta)
			if err := f.conf(encode(c.make(f.table.members))); err != nil {
				t.Fatal(err)
			}
			f.wantMembers(c.from)
			meta.Index, meta.Term, meta.Chain = f.table.meta.Index, f.table.meta.Term, f.table.meta.Chain
			if !bytes.Equal(encode(meta), encode(f.table.meta)) {
				t.Errorf("the table changed from %v to %v", meta, f.table.meta)
			}
		})
	}
}

// become brings a follower to a membership by entries, as they come.
func (f *follower) become(spelt string) {
	f.Helper()
	want := parseMembership(f, spelt)
	for _, m := range want.Members {
		if _, known := f.table.members.Seat(m.RaftID); !known {
			f.mustConf(withSeat(f, f.table.members, 1))
		}
	}
	if want.Joint() {
		f.mustConf(f.table.members.Become(idsOf(want.Voters())))
	}
	f.wantMembers(spelt)
}

func idsOf(list []Member) (ids []uint64) {
	for _, m := range list {
		ids = append(ids, m.RaftID)
	}
	return ids
}

// withSeat admits the next one, introduced by the node of a seat.
func withSeat(t testing.TB, ms *Membership, by uint64) *Membership {
	t.Helper()
	p := seatKey(ms.NextRaftID).PeerID()
	proof, err := Introduce(seatKey(by), foundedBy(t, 3), Member{RaftID: by, Peer: seatKey(by).PeerID()}, p, ms.NextRaftID)
	if err != nil {
		t.Fatal(err)
	}
	return ms.Admit(p, make([]byte, NonceBytes), proof)
}

func without(cc *pb.ConfChangeV2, part string) *pb.ConfChangeV2 {
	if part == "context" {
		cc.Context = nil
	} else {
		cc.Changes = nil
	}
	return cc
}

// TestBrokenConfiguration refuses an append whose configuration does not decode:
// once committed it would stop every member.
func TestBrokenConfiguration(t *testing.T) {
	f := newFollower(t)
	if err := f.conf([]byte{0xff}); err == nil {
		t.Error("it was taken")
	}
	f.wantLog(1, 1)
}

// TestProposeMembers proposes as a leader, and as somebody else.
func TestProposeMembers(t *testing.T) {
	f := newFollower(t)
	next := withSeat(t, f.table.members, 1)
	if err := f.ProposeMembers(next); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower's proposal: %v", err)
	}
	f.lead()
	if err := f.ProposeMembers(f.table.members.Drop(3)); err == nil || errors.Is(err, ErrNotLeader) {
		t.Errorf("a voter less: %v", err)
	}
	acknowledge := func() {
		f.Helper()
		f.turns()
		last, _ := f.log.LastIndex()
		m := f.message(pb.MsgAppResp)
		m.Index = new(last)
		f.mustStep(m)
		f.turns()
	}
	acknowledge()
	for _, step := range []func() *Membership{
		func() *Membership { return withSeat(t, f.table.members, 1) },
		func() *Membership { return withSeat(t, f.table.members, 1) },
		func() *Membership { return f.table.members.Become([]uint64{1, 2, 3, 4, 5}) },
	} {
		if err := f.ProposeMembers(step()); err != nil {
			t.Fatal(err)
		}
		acknowledge()
	}
	// Raft leaves a joint configuration by itself, once both halves have that entry:
	// two of three do, three of five do not.
	acknowledge()
	f.wantMembers("1 2 3 4+ 5+")
	m := f.message(pb.MsgAppResp)
	last, _ := f.log.LastIndex()
	m.From, m.Index = new(uint64(4)), new(last)
	if _, err := f.Step(seatKey(4).PeerID(), m); err != nil {
		t.Fatal(err)
	}
	f.turns()
	f.wantMembers("1 2 3 4 5")
}

// acknowledgeAll has members say that they hold all that the leader does.
func (f *follower) acknowledgeAll(seats ...uint64) (sent []*pb.Message) {
	f.Helper()
	for _, id := range seats {
		last, _ := f.log.LastIndex()
		m := f.message(pb.MsgAppResp)
		m.From, m.Index = new(id), new(last)
		if _, err := f.Step(f.PeerOf(id), m); err != nil {
			f.Fatal(err)
		}
	}
	return f.turns()
}

func (f *follower) mustPropose(next *Membership) {
	f.Helper()
	if err := f.ProposeMembers(next); err != nil {
		f.Fatal(err)
	}
	f.turns()
}

// TestLeaderThatLeaves has the leader's own seat go, and all others with it: it
// must not finish that itself, but hand over to one that stays, again and again.
func TestLeaderThatLeaves(t *testing.T) {
	f := newFollower(t)
	f.lead()
	f.acknowledgeAll(2)
	for range 3 {
		f.mustPropose(withSeat(t, f.table.members, 1))
		f.acknowledgeAll(2)
	}
	f.acknowledgeAll(5)
	f.mustPropose(f.table.members.Become([]uint64{4, 5, 6}))
	sent := f.acknowledgeAll(2)
	f.wantMembers("1- 2- 3- 4+ 5+ 6+")
	last, _ := f.log.LastIndex()
	if !f.State().Transferring {
		t.Error("it does not hand over")
	}
	sent = append(sent, f.acknowledgeAll(5)...)
	if !slices.ContainsFunc(sent, func(m *pb.Message) bool { return m.GetType() == pb.MsgTimeoutNow && m.GetTo() == 5 }) {
		t.Error("it does not hand over to the one that has all entries")
	}
	for range 5 * ElectionTicks {
		f.Tick()
		f.acknowledgeAll(2, 4, 5, 6)
		if now, _ := f.log.LastIndex(); now != last || !f.State().Transferring {
			t.Fatalf("entry %d after %d, transferring %v", now, last, f.State().Transferring)
		}
	}
}

// TestLeaversAreNotTold commits the end of a change: who stays hears of it, who
// leaves does not.
func TestLeaversAreNotTold(t *testing.T) {
	f := newFollower(t)
	f.lead()
	f.acknowledgeAll(2)
	f.mustPropose(withSeat(t, f.table.members, 1))
	f.acknowledgeAll(2)
	f.mustPropose(f.table.members.Become([]uint64{1, 2, 4}))
	f.acknowledgeAll(2, 3, 4)
	f.wantMembers("1 2 3- 4+")
	last, _ := f.log.LastIndex()
	sent := f.acknowledgeAll(2, 3, 4)
	f.wantMembers("1 2 4")
	told := map[uint64]bool{}
	for _, m := range sent {
		if m.GetCommit() >= last {
			told[m.GetTo()] = true
		}
	}
	if !told[2] || !told[4] || told[3] {
		t.Errorf("who heard of the end of the change: %v", told)
	}
}

// TestIntroduced listens to a seat that this member's log does not know yet.
func TestIntroduced(t *testing.T) {
	f := newFollower(t)
	p := seatKey(5).PeerID()
	newer := Member{RaftID: 5, Peer: p, Nonce: make([]byte, NonceBytes), Proof: introduce(t, f.genesis, p, 5)}
	heartbeat := f.message(pb.MsgHeartbeat)
	heartbeat.From = new(uint64(5))
	if _, err := f.Step(p, heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("a message of a seat that is not known: %v", err)
	}
	forged := newer
	forged.Proof = introduce(t, f.genesis, p, 6)
	if err := f.Introduce(forged); err == nil {
		t.Error("a forged seat was introduced")
	}
	if err := f.Introduce(newer); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Step(seatKey(6).PeerID(), heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("another node in an introduced seat: %v", err)
	}
	if _, err := f.Step(p, heartbeat); err != nil {
		t.Errorf("a message of an introduced seat: %v", err)
	}
	f.turns()
	if s := f.State(); s.Leader != p || f.PeerOf(5) != p {
		t.Errorf("%s leads, want the introduced one", s.Leader)
	}
	if err := f.Introduce(f.genesis.Members[1]); err != nil {
		t.Errorf("a seat that is known anyway: %v", err)
	}
	// The log catches up with 4, 5 and 6, of which 5 goes again.
	f.become("1 2 3 4? 5? 6?")
	if len(f.introduced) != 0 {
		t.Errorf("still introduced: %v", f.introduced)
	}
	f.mustConf(f.table.members.Drop(5))
	if err := f.Introduce(newer); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("a seat that was given up: %v", err)
	}
	if _, err := f.Step(p, heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("a message of a seat that was given up: %v", err)
	}
}

// TestIntroducedBound introduces more than there are seats.
func TestIntroducedBound(t *testing.T) {
	f := newFollower(t)
	refused := 0
	for id := uint64(4); id < 4+2*seatsMax; id++ {
		p := seatKey(id).PeerID()
		if f.Introduce(Member{RaftID: id, Peer: p, Proof: introduce(t, f.genesis, p, id)}) != nil {
			refused++
		}
	}
	if refused != seatsMax || len(f.introduced) != seatsMax {
		t.Errorf("%d refused, %d introduced", refused, len(f.introduced))
	}
}

// TestNewcomer starts a member from the genesis under a seat that it does not name.
func TestNewcomer(t *testing.T) {
	f := newFollowerAs(t, Config{Self: seatKey(4).PeerID(), RaftID: 4})
	if self := f.Self(); self.RaftID != 4 || self.Votes() {
		t.Errorf("a newcomer is %+v", self)
	}
	_ = f.Campaign()
	for range 5 * ElectionTicks {
		f.Tick()
		for _, m := range f.turns() {
			t.Errorf("it sends %s before it is a member", m.GetType())
		}
	}
	to4 := func(m *pb.Message) *pb.Message {
		m.To = new(uint64(4))
		return m
	}
	next := withSeat(t, f.table.members, 1)
	m := to4(f.append(3))
	m.Entries = []*pb.Entry{
		{Type: pb.EntryNormal.Enum(), Term: new(uint64(2)), Index: new(uint64(2))},
		{Type: pb.EntryConfChangeV2.Enum(), Term: new(uint64(2)), Index: new(uint64(3)), Data: encode(f.table.members.change(next))},
	}
	f.mustStep(m)
	f.wantLog(3, 3)
	f.wantMembers("1 2 3 4?")
	if self := f.Self(); self.RaftID != 4 || self.Role != Learner || len(self.Proof) != 1 {
		t.Errorf("a learner is %+v", self)
	}
	_ = f.Campaign()
	for _, m := range f.turns() {
		if m.GetType() == pb.MsgPreVote || m.GetType() == pb.MsgVote {
			t.Error("a learner campaigns")
		}
	}
}

// TestDroppedLearner loses sight of a leader that does not speak to it any more.
func TestDroppedLearner(t *testing.T) {
	f := newFollowerAs(t, Config{Self: seatKey(4).PeerID(), RaftID: 4})
	heartbeat := func() {
		f.Helper()
		m := f.message(pb.MsgHeartbeat)
		m.To = new(uint64(4))
		f.mustStep(m)
		f.turns()
	}
	pass := func(ticks int) {
		for range ticks {
			f.Tick()
			f.turns()
		}
	}
	heartbeat()
	pass(2 * ElectionTicks)
	if s := f.State(); s.Leader != f.leader() {
		t.Errorf("%q leads a learner that heard it lately", s.Leader)
	}
	pass(1)
	if s := f.State(); s.Leader != "" {
		t.Errorf("%s leads a learner that it does not speak to", s.Leader)
	}
	heartbeat()
	if s := f.State(); s.Leader != f.leader() {
		t.Errorf("%q leads a learner that hears it again", s.Leader)
	}
}
