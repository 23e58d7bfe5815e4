package replica

import (
	"errors"
	"slices"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

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
	// A joint configuration ends once two of the three voters before have signed what it
	// leads to, and both halves have the entry: two of three do, three of five do not.
	joint, _ := f.log.LastIndex()
	acknowledge()
	f.vouchFrom(4, 4)
	f.vouchFrom(3, 2)
	for range 2 * concludeTicks {
		f.Tick()
		f.acknowledgeAll(2, 3, 4, 5)
	}
	if last, _ := f.log.LastIndex(); last != joint {
		t.Errorf("the end of the change is entry %d, before anybody signed", last)
	}
	f.vouchFrom(2, 2)
	f.vouchFrom(2, 2)
	acknowledge()
	if last, _ := f.log.LastIndex(); last != joint+1 {
		t.Errorf("the end of the change should be entry %d, and the log ends at %d", joint+1, last)
	}
	f.wantMembers("1 2 3 4+ 5+")
	f.acknowledgeAll(4)
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
	f.vouchFrom(3, 3)
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

// vouchFrom has a member tell that the node of a seat signed what the change leads to.
func (f *follower) vouchFrom(id, signer uint64) {
	f.Helper()
	m := f.message(pb.MsgAppResp)
	m.From, m.Index = new(id), new(f.table.Index())
	if next := f.pending(); next != nil {
		m.Context = encode(&wire.Vouch{Generation: next.Generation, Configuration: seatKey(signer).Sign(identity.DomainConfiguration, next.Body)})
	}
	if _, err := f.Step(f.PeerOf(id), m); err != nil {
		f.Fatal(err)
	}
	f.turns()
}

// end is the entry's data that ends the change under way, signed by the nodes of seats.
func (f *follower) end(seats ...uint64) []byte {
	f.Helper()
	next, signatures := f.table.members.pending(f.genesis), map[uint64][]byte{}
	for _, id := range seats {
		signatures[id] = seatKey(id).Sign(identity.DomainConfiguration, next.Body)
	}
	return encode(&pb.ConfChangeV2{Context: encode(f.table.members.Lineage.Last().certify(next, signatures))})
}

func (f *follower) mustConclude(seats ...uint64) {
	f.Helper()
	if err := f.conf(f.end(seats...)); err != nil {
		f.Fatal(err)
	}
}
