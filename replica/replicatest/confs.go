package replicatest

import (
	"bytes"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// confs is who had which seat when, from the entries alone, in the plainest words.
type confs struct {
	list []*replica.Membership // by index
	// gone are seats that nobody may speak for, since their disks were destroyed, or
	// their nodes gave them up: the disks as they were.
	gone map[uint64]*disk
}

func newConfs(g *replica.Genesis) confs {
	return confs{list: []*replica.Membership{g.Membership()}, gone: map[uint64]*disk{}}
}

func (c *confs) last() *replica.Membership { return c.list[len(c.list)-1] }

// asOf is the membership after an entry.
func (c *confs) asOf(index uint64) *replica.Membership {
	for _, ms := range slices.Backward(c.list) {
		if ms.Index <= index {
			return ms
		}
	}
	return c.list[0]
}

// deciding are the memberships of which one must hold what a member at index
// answers with: a change holds for what comes after it was applied, and what came
// before has only the voters of before.
func (c *confs) deciding(index uint64) []*replica.Membership {
	at := slices.Index(c.list, c.asOf(index))
	return c.list[max(at-1, 0) : at+1]
}

// change takes down an entry that changes the members.
func (c *confs) change(s *Sim, e *pb.Entry) {
	next, err := changed(c.last(), e)
	if err != nil {
		s.fail("members", "entry %d: %v", e.GetIndex(), err)
		return
	}
	if next == nil {
		s.fail("members", "entry %d leaves a configuration that is not joint", e.GetIndex())
		return
	}
	for _, m := range next.Members {
		if _, before := c.last().Seat(m.RaftID); !before && m.RaftID < c.last().NextRaftID {
			s.fail("members", "entry %d gives seat %d again", e.GetIndex(), m.RaftID)
		}
	}
	c.list = append(c.list, next)
	s.stats.Members.took(next)
}

// changed is what an entry makes of a membership; nil if nothing.
func changed(ms *replica.Membership, e *pb.Entry) (*replica.Membership, error) {
	next := &replica.Membership{Index: e.GetIndex(), NextRaftID: ms.NextRaftID}
	cc, change := new(pb.ConfChangeV2), new(wire.MembershipChange)
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		return nil, err
	}
	if len(cc.GetChanges()) == 0 { // the end of a joint configuration, with a certificate
		if !ms.Joint() {
			return nil, nil
		}
		if err := certified(ms, cc.GetContext()); err != nil {
			return nil, err
		}
		for _, m := range ms.Members {
			if m.Role == replica.Incoming {
				m.Role = replica.Voter
			}
			if m.Role != replica.Outgoing {
				next.Members = append(next.Members, m)
			}
		}
		return next, nil
	}
	if err := proto.Unmarshal(cc.GetContext(), change); err != nil || len(change.GetMembers()) == 0 {
		return nil, fmt.Errorf("a change without members: %w", err)
	}
	for _, m := range change.GetMembers() {
		founded := replica.Member{RaftID: m.GetRaftId(), Nonce: m.GetNonce(), Role: m.GetRole(), Proof: m.GetProof()}
		founded.Peer = peerOf(m)
		next.Members = append(next.Members, founded)
	}
	next.NextRaftID = change.GetNextRaftId()
	return next, nil
}

// certified counts who of the voters before signed the end of a change.
func certified(ms *replica.Membership, raw []byte) error {
	cert, body := new(wire.Certificate), new(wire.Configuration)
	if proto.Unmarshal(raw, cert) != nil || proto.Unmarshal(cert.GetConfiguration(), body) != nil || body.GetIndex() != ms.Index {
		return fmt.Errorf("no certificate of the change of entry %d", ms.Index)
	}
	before, signed := 0, 0
	for _, m := range ms.Members {
		named := slices.ContainsFunc(body.GetVoters(), func(v *wire.Member) bool { return v.GetRaftId() == m.RaftID })
		if named != (m.Role == replica.Voter || m.Role == replica.Incoming) {
			return fmt.Errorf("the certificate does not say what becomes of seat %d", m.RaftID)
		}
		if m.Role != replica.Voter && m.Role != replica.Outgoing {
			continue
		}
		before++
		key, err := m.Peer.PublicKey()
		if err != nil {
			return err
		}
		for _, e := range cert.GetEndorsements() {
			if e.GetRaftId() == m.RaftID && key.Verify(identity.DomainConfiguration, cert.GetConfiguration(), e.GetSignature()) {
				signed++
			}
		}
	}
	if signed <= before/2 {
		return fmt.Errorf("%d of %d voters signed the end of the change of entry %d", signed, before, ms.Index)
	}
	return nil
}

// canLose says whether a group could go on without one disk more, by whichever
// of the configurations on any disk, and with its learners as voters.
func (c *confs) canLose(s *Sim, seat uint64) bool {
	all := []*replica.Membership{c.last()}
	for _, m := range s.members {
		for _, e := range m.disk.entries {
			if e.GetType() != pb.EntryConfChangeV2 || e.GetIndex() <= c.last().Index {
				continue
			}
			if next, err := changed(c.last(), e); err == nil && next != nil {
				all = append(all, next)
			}
		}
	}
	lost := func(m replica.Member) bool { return c.gone[m.RaftID] != nil || m.RaftID == seat }
	for _, ms := range all {
		everybody := &replica.Membership{Members: slices.Clone(ms.Members)}
		for i := range everybody.Members {
			everybody.Members[i].Role = replica.Voter
		}
		for _, counted := range []*replica.Membership{ms, ms.Become(voterIDs(ms)), everybody} {
			if !counted.HasQuorum(func(m replica.Member) bool { return !lost(m) }) {
				return false
			}
		}
	}
	return true
}

func voterIDs(ms *replica.Membership) (ids []uint64) {
	for _, m := range ms.Voters() {
		ids = append(ids, m.RaftID)
	}
	return ids
}

// checkMembers checks that a member has the membership of its entry, in its table
// and on its disk, and that raft will find the same after a crash.
func (l *ledger) checkMembers(m *member, t *replica.Turn) {
	if t.Membership == nil && t.Save.Conf == nil && t.Save.Install == nil {
		return
	}
	l.checkConf(m, m.group.Membership())
	if t.Membership != nil && t.Membership != m.group.Membership() {
		l.s.fail("members", "member %d tells of another membership than it has", m.number)
	}
}

func (l *ledger) checkConf(m *member, have *replica.Membership) {
	if m.rot.rotten {
		return
	}
	index := have.Index
	if m.group != nil {
		index = m.group.Table().Index()
	}
	if _, _, err := l.s.proved(have); err != nil {
		l.s.fail("voters are certified", "member %d at entry %d: %v", m.number, index, err)
	}
	want := l.confs.asOf(index)
	if want.Index != have.Index || want.NextRaftID != have.NextRaftID || !sameSeats(want, have) {
		l.s.fail("members agree", "member %d has members %s of entry %d, want %s of %d", m.number, spellMembers(have), have.Index, spellMembers(want), want.Index)
	}
	if raft, table := spellConf(m.disk.conf), spellConf(confOf(have)); raft != table {
		l.s.fail("raft's members", "member %d keeps %s for raft and %s in its table", m.number, raft, table)
	}
	if !have.Joint() && len(have.Voters())%2 == 0 {
		l.s.fail("odd", "member %d has %d voters", m.number, len(have.Voters()))
	}
}

func sameSeats(a, b *replica.Membership) bool {
	return slices.EqualFunc(a.Members, b.Members, func(x, y replica.Member) bool {
		return x.RaftID == y.RaftID && x.Peer == y.Peer && x.Role == y.Role && bytes.Equal(x.Nonce, y.Nonce)
	})
}

// confOf is what raft should make of a membership.
func confOf(ms *replica.Membership) *pb.ConfState {
	conf := &pb.ConfState{AutoLeave: new(false)}
	for _, m := range ms.Members {
		if m.Role == replica.Voter || m.Role == replica.Incoming {
			conf.Voters = append(conf.Voters, m.RaftID)
		}
		if ms.Joint() && (m.Role == replica.Voter || m.Role == replica.Outgoing) {
			conf.VotersOutgoing = append(conf.VotersOutgoing, m.RaftID)
		}
		if m.Role == replica.Learner {
			conf.Learners = append(conf.Learners, m.RaftID)
		}
	}
	return conf
}

func spellConf(c *pb.ConfState) string {
	sorted := func(ids []uint64) []uint64 { return slices.Sorted(slices.Values(ids)) }
	return fmt.Sprint(sorted(c.GetVoters()), sorted(c.GetVotersOutgoing()), sorted(c.GetLearners()), c.GetLearnersNext(), c.GetAutoLeave())
}

func spellMembers(ms *replica.Membership) string {
	spelt := ""
	for _, m := range ms.Members {
		spelt += fmt.Sprint(" ", m.RaftID) + [...]string{"", "?", "+", "-"}[m.Role]
	}
	return spelt
}

// MemberStats says what became of members, and how large groups were.
type MemberStats struct {
	Admitted, Joined, Introduced, Joint int
	Dropped, HandOvers, Wiped, GaveUp   int
	// Strangers counts messages of seats that the receiver did not know.
	Strangers int
	// Sizes counts configurations by their voters.
	Sizes [replica.MembersMax + 1]int
}

func (t *MemberStats) took(ms *replica.Membership) {
	if ms.Joint() {
		t.Joint++
		return
	}
	t.Sizes[len(ms.Voters())]++
}

func (t *MemberStats) add(s MemberStats) {
	t.Admitted += s.Admitted
	t.Joint += s.Joint
	t.Dropped += s.Dropped
	t.HandOvers += s.HandOvers
	t.Wiped += s.Wiped
	t.Joined += s.Joined
	t.GaveUp += s.GaveUp
	t.Introduced += s.Introduced
	t.Strangers += s.Strangers
	for i, n := range s.Sizes {
		t.Sizes[i] += n
	}
}
