package replica

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// FuzzParseSeats decodes members from outside. What is accepted comes back as the
// same bytes, and each seat proves itself.
func FuzzParseSeats(f *testing.F) {
	g := foundedBy(f, 3)
	for _, spelt := range []string{"1 2 3", "1 2 3- 4+ 5?", "9?"} {
		f.Add(encode(&wire.MembershipChange{Members: parseMembership(f, spelt).Wire(), NextRaftId: 10}))
	}
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		change := new(wire.MembershipChange)
		if proto.Unmarshal(data, change) != nil {
			return
		}
		members, err := g.Lineage().ParseSeats(change.GetMembers())
		if err != nil {
			return
		}
		if len(members) > seatsMax {
			t.Fatalf("%d seats", len(members))
		}
		ms := &Membership{Members: members}
		again, err := g.Lineage().ParseSeats(ms.Wire())
		if err != nil || !bytes.Equal(encode(&wire.MembershipChange{Members: ms.Wire()}), encode(&wire.MembershipChange{Members: (&Membership{Members: again}).Wire()})) {
			t.Fatalf("parsed twice: %v, %v", again, err)
		}
		for _, m := range members {
			if err := newFollower(t).Introduce(g.Lineage(), m); err != nil && m.RaftID > 3 {
				t.Fatalf("a seat that proved itself is not introduced: %v", err)
			}
		}
	})
}

// FuzzIntroductions makes up introductions, each well signed by whom it names:
// three bytes say who signs, for whom, and for which seat. What is accepted is
// what the rule in plain words accepts.
func FuzzIntroductions(f *testing.F) {
	l := foundedBy(f, 3).Lineage()
	f.Add([]byte{1, 4, 4}, byte(4), byte(4))
	f.Add([]byte{3, 4, 4, 4, 5, 5}, byte(5), byte(5))
	f.Add([]byte{1, 2, 2}, byte(2), byte(2))
	f.Add([]byte{4, 4, 4}, byte(4), byte(4))
	f.Add([]byte{1, 4, 5}, byte(4), byte(4))
	f.Add([]byte{}, byte(2), byte(2))
	f.Fuzz(func(t *testing.T, links []byte, node, seat byte) {
		const nodes = 16
		m := Member{RaftID: uint64(seat), Peer: peerOf(uint64(node % nodes)), Nonce: make([]byte, NonceBytes)}
		founder := func(n byte) bool { return 1 <= n && n <= 3 }
		introduced := false
		for at := 0; at+3 <= min(len(links), 9); at += 3 {
			by, to, raftID := links[at]%nodes, links[at+1]%nodes, links[at+2]
			signed, err := Seal(seatKey(uint64(by)), identity.DomainIntroduction, &wire.Introduction{
				Genesis: l.genesis.Hash[:], Peer: []byte(peerOf(uint64(to))), RaftId: uint64(raftID),
			})
			if err != nil {
				t.Fatal(err)
			}
			m.Proof = append(m.Proof, signed)
			introduced = at == 0 && founder(by) && to == node%nodes && raftID == seat
		}
		good := introduced && seat != 0 && len(m.Proof) == 1
		if founder(seat) {
			good = len(m.Proof) <= 1 && node%nodes == seat
		}
		parsed, err := l.ParseSeats([]*wire.Member{m.Wire()})
		if (err == nil) != good {
			t.Fatalf("%v of %d in seat %d: %v, want it accepted: %v", links, node%nodes, seat, err, good)
		}
		if good && !bytes.Equal(encode(parsed[0].Wire()), encode(m.Wire())) {
			t.Fatalf("%v became %v", m, parsed)
		}
	})
}

// FuzzMembers applies entries that change the members, one after another, each
// as raft has it or as anybody might make it up. Raft and the table stay equal.
func FuzzMembers(f *testing.F) {
	seed := newFollower(f)
	admitted := withSeat(f, seed.table.members, 1)
	f.Add(encode(seed.table.members.change(admitted)), []byte(nil), byte(0))
	f.Add(encode(admitted.change(admitted.Become([]uint64{1, 2, 4}))), []byte(nil), byte(1))
	f.Add(encode(admitted.change(admitted.Drop(4))), encode(&pb.ConfChangeV2{}), byte(2))
	f.Add(encode(&pb.ConfChangeV2{Changes: []*pb.ConfChangeSingle{{Type: pb.ConfChangeType_ConfChangeAddNode.Enum(), NodeId: new(uint64(9))}}}), []byte(nil), byte(0))
	f.Add([]byte(nil), []byte{0xff}, byte(3))
	f.Fuzz(func(t *testing.T, first, second []byte, from byte) {
		g := newFollower(t)
		g.become([]string{"1 2 3", "1 2 3 4?", "1 2 3 4? 5?", "1 2 3 4+ 5+", "1 2 3- 4+"}[from%5])
		for _, data := range [][]byte{first, second, nil} {
			if g.conf(data) != nil {
				continue // refused before it is in the log
			}
			g.wantAgreement()
			if err := g.table.members.checkHalves(); err != nil {
				t.Fatal(err)
			}
			stored, err := LoadTable(scanChanges(g.everything()), testRules)
			if err != nil || stored.members.spell() != g.table.members.spell() {
				t.Fatalf("the store holds other members: %v", err)
			}
		}
	})
}

// wantAgreement compares raft, and what is saved for it, with the table.
func (f *follower) wantAgreement() {
	f.Helper()
	want := spellConf(f.table.members.confState())
	if f.configuration() != want || spellConf(f.saved) != want {
		f.Errorf("the table has members %s, raft %s, saved are %s", want, f.configuration(), spellConf(f.saved))
	}
}

// everything is the table as a store would hold it whole.
func (f *follower) everything() []Change {
	f.table.saveAll()
	return f.table.drain()
}

// FuzzSnapshotMembers lets a member send a table with any members, and the
// configuration that belongs to them: raft must be able to take it.
func FuzzSnapshotMembers(f *testing.F) {
	for _, spelt := range []string{"1 2 3", "1 2 3 4?", "1 2 3- 4+", "4? 1", "1- 2- 3- 4+ 5+ 6+", "1?", "2"} {
		f.Add(encode(&wire.MembershipChange{Members: parseMembership(f, spelt).Wire(), NextRaftId: 9}))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newFollower(t)
		change := new(wire.MembershipChange)
		if proto.Unmarshal(data, change) != nil {
			return
		}
		m := g.snapshot(9)
		s := new(wire.TableSnapshot)
		if err := proto.Unmarshal(m.GetSnapshot().GetData(), s); err != nil {
			t.Fatal(err)
		}
		s.Meta.Members, s.Meta.NextRaftId, s.Meta.MembersIndex = change.GetMembers(), change.GetNextRaftId(), 5
		m.Snapshot.Data = encode(s)
		if members, err := parseMembers(change.GetMembers()); err == nil && len(members) > 0 {
			m.Snapshot.Metadata.ConfState = (&Membership{Members: members}).confState()
		}
		if need, err := g.Step(g.leader(), m); err != nil || need == nil {
			return
		}
		if need, err := g.Resume(); err != nil || need != nil {
			t.Fatalf("need %v, %v", need, err)
		}
		g.turns()
		if g.table.Index() == 9 { // raft leaves a table alone that has no seat for it
			g.wantAgreement()
		}
	})
}
