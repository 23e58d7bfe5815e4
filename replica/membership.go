package replica

import (
	"bytes"
	"fmt"
	"math"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// Roles, by their short names.
const (
	Voter    = wire.Role_ROLE_VOTER
	Learner  = wire.Role_ROLE_LEARNER
	Incoming = wire.Role_ROLE_INCOMING
	Outgoing = wire.Role_ROLE_OUTGOING
)

// Member is one seat. RaftID is never reused within a repository; a node that
// lost its disk gets another seat under another one.
type Member struct {
	RaftID uint64
	Peer   identity.PeerID
	Nonce  []byte
	Role   wire.Role
	// Proof is an introduction, where no certified configuration names the seat yet.
	Proof []*wire.Signed
}

// Votes says whether the member has a vote, be it in one half of a joint configuration.
func (m Member) Votes() bool { return m.Role != Learner }

// Wire is the seat as it is sent and stored.
func (m Member) Wire() *wire.Member {
	return &wire.Member{RaftId: m.RaftID, Peer: []byte(m.Peer), Nonce: m.Nonce, Role: m.Role, Proof: m.Proof}
}

// Membership is who has which seat as of one entry. It does not change: the next
// configuration is another value.
type Membership struct {
	// Index is the entry that set it.
	Index   uint64
	Members []Member
	// NextRaftID is the ID of the next seat.
	NextRaftID uint64
	// Lineage certifies the voters: those of before, while a change is under way.
	Lineage *Lineage
}

// Member finds p's seat: the last one given, where a lost one is still listed.
func (ms *Membership) Member(p identity.PeerID) (Member, bool) {
	found, ok := Member{}, false
	for _, m := range ms.Members {
		if m.Peer == p && m.RaftID > found.RaftID {
			found, ok = m, true
		}
	}
	return found, ok
}

// Newest says whether a seat is the last one that its node was given: any other
// one is lost.
func (ms *Membership) Newest(raftID uint64) bool {
	m, _ := ms.Seat(raftID)
	newest, ok := ms.Member(m.Peer)
	return ok && newest.RaftID == raftID
}

// Seat finds a seat by its number.
func (ms *Membership) Seat(raftID uint64) (Member, bool) {
	for _, m := range ms.Members {
		if m.RaftID == raftID {
			return m, true
		}
	}
	return Member{}, false
}

// PeerOf names the node in a seat; empty for an ID that no seat has.
func (ms *Membership) PeerOf(raftID uint64) identity.PeerID {
	m, _ := ms.Seat(raftID)
	return m.Peer
}

// Joint says that a change is under way: two majorities are needed.
func (ms *Membership) Joint() bool {
	return slices.ContainsFunc(ms.Members, func(m Member) bool { return m.Role == Incoming || m.Role == Outgoing })
}

// Voters are the members that will vote once a change under way is done.
func (ms *Membership) Voters() []Member {
	return slices.DeleteFunc(slices.Clone(ms.Members), func(m Member) bool { return m.Role == Learner || m.Role == Outgoing })
}

// Quorum is how many voters must hold an entry.
func (ms *Membership) Quorum() int { return len(ms.Voters())/2 + 1 }

// HasQuorum says whether those that fulfil f are a majority, in both halves of a
// joint configuration.
func (ms *Membership) HasQuorum(f func(Member) bool) bool {
	in := func(other wire.Role) bool {
		all, those := 0, 0
		for _, m := range ms.Members {
			if m.Role == Voter || m.Role == other {
				all++
				if f(m) {
					those++
				}
			}
		}
		return those > all/2
	}
	return in(Incoming) && in(Outgoing)
}

func (ms *Membership) confState() *pb.ConfState {
	conf := &pb.ConfState{}
	for _, m := range ms.Members {
		switch m.Role {
		case Voter:
			conf.Voters = append(conf.Voters, m.RaftID)
			if ms.Joint() {
				conf.VotersOutgoing = append(conf.VotersOutgoing, m.RaftID)
			}
		case Incoming:
			conf.Voters = append(conf.Voters, m.RaftID)
		case Outgoing:
			conf.VotersOutgoing = append(conf.VotersOutgoing, m.RaftID)
		case Learner:
			conf.Learners = append(conf.Learners, m.RaftID)
		}
	}
	return conf
}

// Wire is the list as it is sent and stored.
func (ms *Membership) Wire() []*wire.Member {
	list := make([]*wire.Member, len(ms.Members))
	for i, m := range ms.Members {
		list[i] = m.Wire()
	}
	return list
}

// settled is the membership once a change under way is done. Its voters need no
// introduction any more.
func (ms *Membership) settled(index uint64, proved *Lineage) *Membership {
	next := &Membership{Index: index, NextRaftID: ms.NextRaftID, Lineage: proved}
	for _, m := range ms.Members {
		switch m.Role {
		case Outgoing:
			continue
		case Incoming:
			m.Role, m.Proof = Voter, nil
		}
		next.Members = append(next.Members, m)
	}
	return next
}

// parseMembers checks a list of members from outside.
func parseMembers(list []*wire.Member) ([]Member, error) {
	if len(list) > seatsMax {
		return nil, fmt.Errorf("%d members, want %d at most", len(list), seatsMax)
	}
	ids := map[uint64]bool{}
	members := make([]Member, 0, len(list))
	for _, m := range list {
		peer, err := identity.PeerIDFromBytes(m.GetPeer())
		if err != nil {
			return nil, fmt.Errorf("member: %w", err)
		}
		if m.GetRaftId() == 0 || m.GetRaftId() > math.MaxUint32 || ids[m.GetRaftId()] || len(m.GetNonce()) != NonceBytes ||
			m.GetRole() < Voter || m.GetRole() > Outgoing || len(m.GetProof()) > 1 {
			return nil, fmt.Errorf("member %s: malformed or twice", peer)
		}
		ids[m.GetRaftId()] = true
		members = append(members, Member{RaftID: m.GetRaftId(), Peer: peer, Nonce: m.GetNonce(), Role: m.GetRole(), Proof: m.GetProof()})
	}
	return members, nil
}

// membershipOf reads the membership of a table, and checks that its voters are
// certified. One that never changed is the genesis's.
func membershipOf(meta *wire.TableMeta, proved *Lineage) (*Membership, error) {
	if len(meta.GetMembers()) == 0 && proved.Last().Generation == 0 {
		return proved.genesis.Membership(), nil
	}
	members, err := parseMembers(meta.GetMembers())
	if err != nil {
		return nil, err
	}
	ms := &Membership{Index: meta.GetMembersIndex(), Members: members, NextRaftID: meta.GetNextRaftId(), Lineage: proved}
	for _, m := range members {
		if m.RaftID >= ms.NextRaftID {
			return nil, fmt.Errorf("member %s has seat %d, and the next one is to be %d", m.Peer, m.RaftID, ms.NextRaftID)
		}
		if err := proved.VerifySeat(m); err != nil {
			return nil, err
		}
	}
	if err := proved.CheckVoters(ms); err != nil {
		return nil, err
	}
	return ms, ms.checkHalves()
}

// Admit is the membership with a learner more.
func (ms *Membership) Admit(peer identity.PeerID, nonce []byte, proof []*wire.Signed) *Membership {
	next := &Membership{Members: slices.Clone(ms.Members), NextRaftID: ms.NextRaftID + 1, Lineage: ms.Lineage}
	next.Members = append(next.Members, Member{RaftID: ms.NextRaftID, Peer: peer, Nonce: nonce, Role: Learner, Proof: proof})
	return next
}

// Drop is the membership without one learner.
func (ms *Membership) Drop(raftID uint64) *Membership {
	others := slices.DeleteFunc(slices.Clone(ms.Members), func(m Member) bool { return m.RaftID == raftID })
	return &Membership{Members: others, NextRaftID: ms.NextRaftID, Lineage: ms.Lineage}
}

// Become is the joint membership on the way to one with exactly these voters.
func (ms *Membership) Become(voters []uint64) *Membership {
	next := &Membership{Members: slices.Clone(ms.Members), NextRaftID: ms.NextRaftID, Lineage: ms.Lineage}
	for i, m := range next.Members {
		wanted := slices.Contains(voters, m.RaftID)
		switch {
		case wanted && m.Role == Learner:
			next.Members[i].Role = Incoming
		case !wanted && m.Role == Voter:
			next.Members[i].Role = Outgoing
		}
	}
	return next
}

// checkNext refuses what may not follow ms. What passes is what [Membership.Admit],
// [Membership.Drop] and [Membership.Become] make: one seat more, one learner less,
// or other voters, since raft would take several of these at once for a joint change.
func (ms *Membership) checkNext(next *Membership) error {
	if ms.Joint() {
		return fmt.Errorf("the change of entry %d is under way", ms.Index)
	}
	came, went, changed := 0, 0, 0
	for _, now := range next.Members {
		before, known := ms.Seat(now.RaftID)
		if !known {
			if came++; now.RaftID != ms.NextRaftID || now.Role != Learner {
				return fmt.Errorf("seat %d of %s can't be new", now.RaftID, now.Peer)
			}
			continue
		}
		same := before.Peer == now.Peer && bytes.Equal(before.Nonce, now.Nonce)
		became := before.Role == Learner && now.Role == Incoming || before.Role == Voter && now.Role == Outgoing
		if !same || !became && before.Role != now.Role {
			return fmt.Errorf("seat %d of %s can't become %s of %s", now.RaftID, before.Peer, now.Role, now.Peer)
		}
		if became {
			changed = 1
		}
	}
	for _, before := range ms.Members {
		if _, stays := next.Seat(before.RaftID); !stays {
			if went++; before.Votes() {
				return fmt.Errorf("voter %s can't vanish", before.Peer)
			}
		}
	}
	switch {
	case came+went+changed != 1:
		return fmt.Errorf("%d new seats, %d dropped and a change of voters (%d): want one of these", came, went, changed)
	case next.NextRaftID != ms.NextRaftID+uint64(came):
		return fmt.Errorf("the next seat is to be %d, not %d", ms.NextRaftID+uint64(came), next.NextRaftID)
	case next.Joint() && ms.Lineage.Full():
		return fmt.Errorf("the voters changed %d times since the owner last confirmed them", certificatesMax)
	case len(next.Members) > seatsMax:
		return fmt.Errorf("%d seats, want %d at most", len(next.Members), seatsMax)
	}
	return next.checkHalves()
}

// checkHalves refuses voters that no group has: each half of a configuration is
// odd. Raft would panic at none.
func (ms *Membership) checkHalves() error {
	for _, other := range []wire.Role{Incoming, Outgoing} {
		voters := 0
		for _, m := range ms.Members {
			if m.Role == Voter || m.Role == other {
				voters++
			}
		}
		if voters%2 == 0 || voters > MembersMax {
			return fmt.Errorf("%d voters: want an odd number up to %d", voters, MembersMax)
		}
	}
	return nil
}

// change spells the step to next as raft wants it.
func (ms *Membership) change(next *Membership) *pb.ConfChangeV2 {
	cc := &pb.ConfChangeV2{Context: encode(&wire.MembershipChange{Members: next.Wire(), NextRaftId: next.NextRaftID})}
	add := func(kind pb.ConfChangeType, raftID uint64) {
		cc.Changes = append(cc.Changes, &pb.ConfChangeSingle{Type: &kind, NodeId: new(raftID)})
	}
	for _, m := range next.Members {
		_, known := ms.Seat(m.RaftID)
		switch {
		case !known:
			add(pb.ConfChangeType_ConfChangeAddLearnerNode, m.RaftID)
		case m.Role == Incoming:
			add(pb.ConfChangeType_ConfChangeAddNode, m.RaftID)
		case m.Role == Outgoing:
			add(pb.ConfChangeType_ConfChangeRemoveNode, m.RaftID)
		}
	}
	for _, m := range ms.Members {
		if _, stays := next.Seat(m.RaftID); !stays {
			add(pb.ConfChangeType_ConfChangeRemoveNode, m.RaftID)
		}
	}
	if next.Joint() {
		// Left by an entry with the certificate; see [Group.conclude].
		cc.Transition = new(pb.ConfChangeTransition_ConfChangeTransitionJointExplicit)
	}
	return cc
}
