package replicatest

import (
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// repairTicks is how often a leader looks at its members.
const repairTicks = 3

// attend is what a member does about the members with each tick.
func (m *member) attend() {
	if m.s.faults.Spares == 0 {
		return
	}
	m.countAway()
	if m.ticks%leaveTicks == 0 {
		m.leave()
	}
	if m.group == nil || m.ticks%repairTicks != 0 || m.s.frozen {
		return
	}
	if _, leading := m.group.Leading(); leading {
		m.repair()
	}
}

// repair takes the next step towards the members that the owner wants.
func (m *member) repair() {
	s := m.situation()
	plan := replica.PlanMembers(s)
	switch plan.Do {
	case replica.Admit:
		m.admit(s, plan)
	case replica.Drop:
		m.s.stats.Members.Dropped++
		m.proposeMembers(s.Membership.Drop(plan.Seat))
	case replica.Become:
		m.proposeMembers(s.Membership.Become(plan.Voters))
	case replica.HandOver:
		m.s.stats.Members.HandOvers++
		m.s.note(m.number, "hands over to leave")
		m.group.TransferTo(plan.Peer)
	}
}

// situation is what this leader knows.
func (m *member) situation() replica.Situation {
	state := m.group.State()
	s := replica.Situation{
		Membership: state.Membership, Settings: m.group.Table().Settings(), Founders: len(m.s.genesis.Members),
		Self: m.seat.RaftID, Commit: state.Commit, Seats: map[uint64]replica.Seen{},
	}
	for _, p := range state.Members {
		seen := replica.Seen{Match: p.Match, Active: p.Active && m.answers(p.Peer)}
		node := m.s.node(p.Peer)
		newest, _ := state.Membership.Member(p.Peer)
		switch {
		case newest.RaftID != p.RaftID:
			seen.Active, seen.Lost = false, true
		case !seen.Active:
			seen.GoneMillis = m.away[p.Peer].Milliseconds()
			seen.Lost = m.reaches(node) && node.lost(p.Member)
		}
		s.Seats[p.RaftID] = seen
	}
	for _, node := range m.s.members {
		if m.reaches(node) && node.seat.RaftID == 0 {
			s.Candidates = append(s.Candidates, node.peer)
		}
	}
	return s
}

func (m *member) reaches(other *member) bool {
	return m.s.connected(m, other) && m.s.connected(other, m)
}

// admit asks a node to draw a nonce, and gives it the seat.
func (m *member) admit(s replica.Situation, plan replica.Plan) {
	if m.admitting {
		return
	}
	m.admitting = true
	node := m.s.node(plan.Peer)
	m.in(4*m.s.latency()+time.Second, func() { m.admitting = false })
	life := m.life
	m.s.after(m.s.latency(), func() {
		nonce := node.prepare()
		if nonce == nil {
			return
		}
		m.s.after(m.s.latency(), func() {
			if !m.reaches(node) {
				return
			}
			m.postIn(life, func() {
				proof, err := replica.Introduce(m.key, m.s.genesis, plan.Peer, s.Membership.NextRaftID)
				if err != nil {
					m.s.fail("introduce", "member %d: %v", m.number, err)
					return
				}
				m.s.stats.Members.Admitted++
				m.proposeMembers(s.Membership.Admit(plan.Peer, nonce, proof))
			})
		})
	})
}

func (m *member) proposeMembers(next *replica.Membership) {
	if err := m.group.ProposeMembers(next); err != nil {
		return // another change came first, or it leads no more
	}
	m.s.note(m.number, "proposes members", next.NextRaftID, uint64(len(next.Members)), uint64(len(next.Voters())))
	if !m.s.meddling || m.s.calm {
		return
	}
	m.s.meddling = false
	victim := m
	if m.s.chance(0.5) {
		victim = m.s.node(next.Members[m.s.rng.IntN(len(next.Members))].Peer)
	}
	m.s.after(m.s.between(0, 60*time.Millisecond), func() {
		if !m.s.calm {
			victim.crashFor(m.s.between(20*time.Millisecond, 3*time.Second))
		}
	})
}

// drawConfirmed is the configuration that the owner may take for the one in force.
func (s *Sim) drawConfirmed() []byte {
	m := s.members[s.rng.IntN(len(s.members))]
	if m.group == nil || s.chance(0.5) {
		return nil
	}
	hash := m.group.Membership().Lineage.Last().Hash
	return hash[:]
}

// drawSettings makes up what the owner may want of the members.
func (s *Sim) drawSettings() func() *wire.Settings {
	if s.faults.Spares == 0 || s.frozen {
		return nil
	}
	return func() *wire.Settings {
		settings := &wire.Settings{
			Replicas: []uint32{0, 1, 3, 5}[s.rng.IntN(4)],
			GraceMs:  []int64{-1, 0, 300, 1000, 3000}[s.rng.IntN(5)],
		}
		for _, m := range s.members {
			switch s.rng.IntN(8) {
			case 0:
				settings.On = append(settings.On, []byte(m.peer))
			case 1:
				settings.Off = append(settings.Off, []byte(m.peer))
			}
		}
		return settings
	}
}

// membersUnrest says how the members are not yet as the owner wants them.
func (s *Sim) membersUnrest() error {
	ms := s.ledger.confs.last()
	if s.faults.Spares == 0 || s.frozen {
		return nil
	}
	var settings *wire.Settings
	for _, m := range s.members {
		seat, has := ms.Member(m.peer)
		switch {
		case m.seat.RaftID != 0 && (!has || seat.RaftID != m.seat.RaftID):
			return fmt.Errorf("member %d has seat %d, which the group gave up", m.number, m.seat.RaftID)
		case has && m.group != nil && m.group.State().Leader == m.peer:
			settings = m.group.Table().Settings()
		}
	}
	if settings == nil {
		return errors.New("nobody leads")
	}
	named := func(list [][]byte, p identity.PeerID) bool {
		for _, raw := range list {
			if string(raw) == string(p) {
				return true
			}
		}
		return false
	}
	able, lost, off := 0, 0, 0
	for _, m := range s.members {
		if !named(settings.GetOff(), m.peer) {
			able++
		}
	}
	for _, m := range ms.Members {
		if m.Role != replica.Voter {
			return fmt.Errorf("seat %d is %s", m.RaftID, m.Role)
		}
		if s.ledger.confs.gone[m.RaftID] != nil {
			lost++
		}
		if named(settings.GetOff(), m.Peer) {
			off++
		}
	}
	want := int(settings.GetReplicas())
	if want == 0 {
		want = len(s.genesis.Members)
	}
	switch voters := len(ms.Members); {
	case voters%2 == 0 || voters > want:
		return fmt.Errorf("%d members, want %d", voters, want)
	case able >= want && (voters != want || lost+off > 0):
		return fmt.Errorf("%d members, %d lost, %d to go: want %d, and %d nodes are able", voters, lost, off, want, able)
	case able < want && voters+1 < able:
		return fmt.Errorf("%d members, and %d nodes are able", voters, able)
	}
	return nil
}
