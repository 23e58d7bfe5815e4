package replicatest

import (
	"bytes"
	"fmt"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// place is a node's part in the group, on its disk.
type place struct {
	seat replica.Member // none: zero
	// nonce is that of a seat that it drew and may be given.
	nonce []byte
	// joined are those who had seats when it took its own.
	joined []replica.Member
	proved *replica.Lineage
}

func peerOf(m *wire.Member) identity.PeerID {
	p, err := identity.PeerIDFromBytes(m.GetPeer())
	if err != nil {
		panic(fmt.Sprintf("replicatest: a member of the simulation: %v", err))
	}
	return p
}

// found begins with the genesis, in a seat.
func (m *member) found(seat replica.Member, proved *replica.Lineage, joined []replica.Member) {
	m.place = place{seat: seat, joined: joined, proved: proved}
	founding := m.s.genesis.Found(m.s.rules)
	if err := m.disk.save(&founding); err != nil {
		panic(fmt.Sprintf("replicatest: found: %v", err))
	}
	m.disk.published = founding.Install.GetIndex()
}

// wipe takes the disk away, and the seat with it. The seat never votes nor
// acknowledges again: whatever comes back in its place lacks its nonce.
func (m *member) wipe() {
	m.s.stats.Members.Wiped++
	m.s.ledger.confs.gone[m.seat.RaftID] = m.disk
	m.place, m.disk = place{}, newDisk()
}

// take is where a message arrives.
func (m *member) take(from *member, message *pb.Message) {
	if message.GetTo() == m.seat.RaftID {
		m.post(func() { m.step(from, message) })
		return
	}
	m.summoned(from, message.GetTo())
}

// summoned asks a member that speaks to a seat that this node drew a nonce for
// who has which seat, and takes its own.
func (m *member) summoned(from *member, raftID uint64) {
	if m.seat.RaftID != 0 || m.nonce == nil {
		return
	}
	life := m.life
	m.s.ask(m, from, func() *replica.Membership { return from.group.Membership() }, func(ms *replica.Membership) {
		seat, ok := ms.Seat(raftID)
		if !ok || seat.Peer != m.peer || !bytes.Equal(seat.Nonce, m.nonce) || life != m.life || m.seat.RaftID != 0 {
			return
		}
		proved, seats, err := m.s.proved(ms)
		if err != nil {
			m.s.fail("seats", "member %d is told of seats that do not prove themselves: %v", m.number, err)
			return
		}
		m.s.stats.Members.Joined++
		m.s.note(m.number, "joins", raftID)
		m.found(seat, proved, seats)
		m.running = false // it starts as a member
		m.start()
	})
}

// ask has one node ask another that runs a member; the answer may get lost.
func (s *Sim) ask(by, of *member, what func() *replica.Membership, then func(*replica.Membership)) {
	s.after(s.latency(), func() {
		if of.group == nil || !s.connected(by, of) {
			return
		}
		answer := what()
		s.after(s.latency(), func() {
			if s.connected(of, by) && s.violation == nil {
				then(answer)
			}
		})
	})
}

// askWho asks the sender of a message from a seat that this member does not know
// for the proof of it.
func (m *member) askWho(from *member, raftID uint64) {
	m.s.stats.Members.Strangers++
	if m.ticks < m.askedAt+askTicks && m.askedAt > 0 {
		return
	}
	m.askedAt = m.ticks
	life := m.life
	m.s.ask(m, from, func() *replica.Membership { return from.group.Membership() }, func(ms *replica.Membership) {
		m.postIn(life, func() {
			proved, seats, err := m.s.proved(ms)
			if err != nil {
				m.s.fail("seats", "member %d is told of seats that do not prove themselves: %v", m.number, err)
			}
			for _, seat := range seats {
				if seat.RaftID != raftID || seat.Peer != from.peer {
					continue
				}
				if m.group.Introduce(proved, seat) == nil {
					m.s.note(m.number, "introduces", raftID)
					m.s.stats.Members.Introduced++
				}
			}
		})
	})
}

// proved is what one who knows nothing but the genesis makes of a membership.
func (s *Sim) proved(ms *replica.Membership) (*replica.Lineage, []replica.Member, error) {
	l, err := replica.ParseLineage(s.genesis, ms.Lineage.Wire())
	if err != nil {
		return nil, nil, err
	}
	seats, err := l.ParseSeats(ms.Wire())
	if err == nil {
		err = l.CheckVoters(&replica.Membership{Members: seats})
	}
	return l, seats, err
}

const (
	askTicks = 2
	// leaveTicks is how often a member that nobody leads asks whether its seat is gone.
	leaveTicks = 5
)

// leave has a member give its place up when the group went on without it: a
// majority of the group's voters say that the seat is gone, and hold what it holds.
func (m *member) leave() {
	state := m.group.State()
	_, seated := state.Membership.Seat(m.seat.RaftID)
	joining := m.group.Self().Role == replica.Learner && state.Leader != ""
	if joining || state.Leader != "" && seated {
		return
	}
	others := m.s.others(m)
	best := m.group.Membership()
	for _, other := range others {
		ms := other.group.Membership()
		if _, mine := ms.Seat(m.seat.RaftID); !mine && ms.Index > best.Index {
			best = ms
		}
	}
	if _, mine := best.Seat(m.seat.RaftID); mine {
		return
	}
	if !best.HasQuorum(func(seat replica.Member) bool {
		other := m.s.node(seat.Peer)
		_, mine := other.groupSeat(m.seat.RaftID)
		return slices.Contains(others, other) && other.seat.RaftID == seat.RaftID && !mine &&
			other.group.Membership().Index >= best.Index && other.group.Table().Index() >= state.Applied
	}) {
		return
	}
	for _, other := range others {
		_, fellow := m.group.Membership().Member(other.peer)
		if _, mine := other.groupSeat(m.seat.RaftID); fellow && mine && other.group.State().Leader != "" {
			return
		}
	}
	m.s.note(m.number, "gives its seat up", m.seat.RaftID)
	m.s.stats.Members.GaveUp++
	objects := m.disk.objects
	m.s.ledger.confs.gone[m.seat.RaftID] = m.disk
	m.crash("leaves the group")
	m.place, m.disk = place{}, newDisk()
	m.disk.objects = objects
	m.restart(0)
}

func (m *member) groupSeat(raftID uint64) (replica.Member, bool) {
	if m.group == nil {
		return replica.Member{}, false
	}
	return m.group.Membership().Seat(raftID)
}

// others are the members that this one can talk to.
func (s *Sim) others(m *member) (list []*member) {
	for _, other := range s.members {
		if other != m && other.group != nil && s.connected(m, other) && s.connected(other, m) {
			list = append(list, other)
		}
	}
	return list
}

// prepare draws the nonce of a seat.
func (m *member) prepare() []byte {
	if !m.running || m.seat.RaftID != 0 {
		return nil
	}
	m.nonce = m.s.bytes(replica.NonceBytes)
	return m.nonce
}

// lost says whether a node answers, and no longer holds a seat.
func (m *member) lost(seat replica.Member) bool {
	waits := m.nonce != nil && bytes.Equal(m.nonce, seat.Nonce)
	return m.running && m.seat.RaftID != seat.RaftID && !waits
}

// away counts for how long others were not heard.
func (m *member) countAway() {
	for _, other := range m.s.members {
		if m.s.connected(m, other) && m.s.connected(other, m) {
			delete(m.away, other.peer)
		} else {
			m.away[other.peer] += tick
		}
	}
}
