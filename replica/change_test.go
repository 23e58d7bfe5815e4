package replica

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

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
	stored, err := membershipOf(f.table.meta, f.table.members.Lineage)
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
	f.mustConclude(1, 3)
	f.wantMembers("1 2 3 4 5")
	f.mustConf(admit(6))
	f.mustConf(f.table.members.Drop(6))
	if f.table.members.NextRaftID != 7 {
		t.Errorf("the next seat is %d after seat 6 was dropped", f.table.members.NextRaftID)
	}
	f.mustConf(admit(7))
	f.mustConf(f.table.members.Become([]uint64{7}))
	f.wantMembers("1- 2- 3- 4- 5- 7+")
	f.mustConclude(1, 2, 4)
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
		"leave what is not joint":      {"1 2 3", func(*Membership) *pb.ConfChangeV2 { return &pb.ConfChangeV2{} }},
		"end it without a certificate": {"1 2 3 4+ 5+", func(*Membership) *pb.ConfChangeV2 { return &pb.ConfChangeV2{} }},
		"end it by a minority": {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 {
			return endOf(ms.pending(foundedBy(t, 3)), 1)
		}},
		"end it by those to come": {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 {
			return endOf(ms.pending(foundedBy(t, 3)), 1, 4, 5)
		}},
		"end another change": {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 {
			return endOf(ms.Lineage.Last().next(foundedBy(t, 3), ms.Index, ms.Voters()[:3]), 1, 2)
		}},
		"end one of another entry": {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 {
			return endOf(ms.Lineage.Last().next(foundedBy(t, 3), ms.Index+1, ms.Voters()), 1, 2)
		}},
		"enter twice":           {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(ms.Become([]uint64{1, 2, 3})) }},
		"a newcomer in between": {"1 2 3 4+ 5+", func(ms *Membership) *pb.ConfChangeV2 { return ms.change(withSeat(t, ms, 1)) }},
		"a newcomer":            {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return without(ms.change(withSeat(t, ms, 1)), "context") }},
		"without its change":    {"1 2 3", func(ms *Membership) *pb.ConfChangeV2 { return without(ms.change(withSeat(t, ms, 1)), "changes") }},
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
		"left by raft": {"1 2 3 4? 5?", func(ms *Membership) *pb.ConfChangeV2 {
			cc := ms.change(ms.Become([]uint64{1, 2, 3, 4, 5}))
			cc.Transition = pb.ConfChangeTransition_ConfChangeTransitionJointImplicit.Enum()
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
	proof, err := Introduce(seatKey(by), foundedBy(t, 3), p, ms.NextRaftID)
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

// endOf ends a change with signatures as they come.
func endOf(next *Configuration, seats ...uint64) *pb.ConfChangeV2 {
	return &pb.ConfChangeV2{Context: encode(signedBy(next, identity.DomainConfiguration, seats...))}
}
