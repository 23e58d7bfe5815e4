package replica

import (
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Members change as Ongaro's thesis (§4) and raft's joint consensus want it: a
// newcomer catches up as a learner, and one joint configuration takes all
// newcomers in and all leavers out at once. The entry that ends it carries the
// certificate of the new voters; see conclude.go.

// ErrUnknownSender says that a message comes from a seat that this member does
// not know. It may be behind the entry that gave it: see [Group.Introduce].
var ErrUnknownSender = errors.New("this member does not know that seat")

// ProposeMembers offers the next membership to the log: one that
// [Membership.Admit], [Membership.Drop] or [Membership.Become] made of the
// present one. Nil means that it may commit, not that it will.
func (g *Group) ProposeMembers(next *Membership) error {
	now := g.table.members
	if err := now.checkNext(next); err != nil {
		return err
	}
	g.Wake()
	switch err := g.rn.ProposeConfChange(now.change(next)); {
	case errors.Is(err, raft.ErrProposalDropped):
		return ErrNotLeader
	default:
		return err
	}
}

// applyChange applies an entry of raft's configuration. One that may not follow
// the membership as it is by now changes nothing.
func (g *Group) applyChange(e *pb.Entry, t *Turn) (*pb.ConfState, error) {
	cc := new(pb.ConfChangeV2)
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	applied, changed := g.table.applyMembers(e, cc)
	g.states.add(g.table)
	t.Applied = append(t.Applied, applied)
	if !changed {
		return nil, nil
	}
	t.Membership = g.table.members
	for id := range g.introduced {
		if _, known := t.Membership.Seat(id); known || id < t.Membership.NextRaftID {
			delete(g.introduced, id)
		}
	}
	conf, want := g.rn.ApplyConfChange(cc), g.table.members.confState()
	if err := conf.Equivalent(want); err != nil {
		return nil, fmt.Errorf("entry %d: raft's configuration differs from the table's: %w", e.GetIndex(), err)
	}
	return want, nil
}

// leaveTheLead hands over where the leader is on its way out, and none of the
// voters of before stays. Raft would have it finish the change itself, and step
// down: then it may have entries that the others lack and that keep it from voting
// for them, while they still need its vote, as nobody told them that it is out.
// It is called with every turn, since raft gives a transfer up after a while.
func (g *Group) leaveTheLead() {
	b := g.rn.BasicStatus()
	if b.RaftState != raft.StateLeader || b.LeadTransferee != 0 || g.Self().Role != Outgoing {
		return
	}
	var best, match uint64
	active := false
	g.rn.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		stays := g.seat(id).Role == Voter || g.seat(id).Role == Incoming
		if answers := g.active(id); stays && (best == 0 || answers && !active || answers == active && p.Match > match) {
			best, match, active = id, p.Match, answers
		}
	})
	g.rn.TransferLeader(best) // somebody stays: a half is never empty
}

// forMembers leaves out what is for seats that are gone. A member that leaves
// must not hear that the change is done before those who stay do: it would vote
// no more, and they would need it.
func (g *Group) forMembers(messages []*pb.Message) []*pb.Message {
	return slices.DeleteFunc(messages, func(m *pb.Message) bool { return g.seat(m.GetTo()).RaftID == 0 })
}

// applyMembers applies a configuration entry to the table.
func (t *Table) applyMembers(e *pb.Entry, cc *pb.ConfChangeV2) (done Applied, changed bool) {
	t.advance(e.GetIndex(), LinkOf(e.GetTerm(), e.GetType(), e.GetData()), 0)
	done = Applied{Index: e.GetIndex(), Term: e.GetTerm(), StampMillis: t.Stamp()}
	if next := t.nextMembers(e.GetIndex(), cc); next != nil {
		if next.Lineage != t.members.Lineage {
			t.mark(keyLineage, encode(next.Lineage.Wire()))
		}
		t.members, changed = next, true
		t.meta.Members, t.meta.MembersIndex, t.meta.NextRaftId = next.Wire(), next.Index, next.NextRaftID
	}
	t.forgetOutcome(e.GetIndex())
	t.mark(keyMeta, encode(t.meta))
	return done, changed
}

// nextMembers is the membership after a configuration entry; nil for one that
// changes nothing.
func (t *Table) nextMembers(index uint64, cc *pb.ConfChangeV2) *Membership {
	if cc.LeaveJoint() {
		return t.concluded(index, cc.GetContext())
	}
	change := new(wire.MembershipChange)
	if proto.Unmarshal(cc.GetContext(), change) != nil {
		return nil
	}
	members, err := parseMembers(change.GetMembers())
	if err != nil {
		return nil
	}
	next := &Membership{Index: index, Members: members, NextRaftID: change.GetNextRaftId(), Lineage: t.members.Lineage}
	if t.members.checkNext(next) != nil || !proto.Equal(t.members.change(next), cc) {
		return nil
	}
	for _, m := range next.Members {
		if t.members.Lineage.VerifySeat(m) != nil {
			return nil
		}
	}
	return next
}

// Introduce has this member listen to a seat that it does not know from its log
// yet. A lineage that goes on where its own ends must prove it, and it must be
// newer than all that this member knows.
func (g *Group) Introduce(proved *Lineage, m Member) error {
	if _, known := g.table.members.Seat(m.RaftID); known {
		return nil
	}
	if m.RaftID < g.table.members.NextRaftID {
		return fmt.Errorf("seat %d of %s was given up by entry %d", m.RaftID, m.Peer, g.table.members.Index)
	}
	if len(g.introduced) >= seatsMax {
		return fmt.Errorf("%d seats wait for the entries that gave them", len(g.introduced))
	}
	if !proved.Extends(g.table.members.Lineage) {
		return fmt.Errorf("seat %d of %s: its voters do not follow those of here: %w", m.RaftID, m.Peer, ErrCertificate)
	}
	if err := proved.VerifySeat(m); err != nil {
		return err
	}
	g.introduced[m.RaftID] = m
	return nil
}

// PeerOf names the node in a seat; empty for one that is not known here.
func (g *Group) PeerOf(raftID uint64) identity.PeerID { return g.seat(raftID).Peer }

// seat finds a seat by its number, among the introduced too.
func (g *Group) seat(raftID uint64) Member {
	if m, ok := g.table.members.Seat(raftID); ok {
		return m
	}
	return g.introduced[raftID]
}
