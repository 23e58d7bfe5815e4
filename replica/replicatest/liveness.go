package replicatest

import (
	"time"

	"peer/election"
	"peer/identity"
	"peer/replica"
)

// The timing of package node.
const (
	campaignBase  = 5 * time.Millisecond
	campaignStep  = 30 * time.Millisecond
	foundingGrace = 40 * time.Millisecond
	greetingGrace = 300 * time.Millisecond
	seekAgain     = 100 * time.Millisecond
	seekMax       = 2 * time.Second
	handOverTicks = 20
	handOverLook  = 5
	silenceTicks  = 5
)

// other is what a member knows of another node.
type other struct {
	pulse election.Pulse
	heard bool
	life  uint64 // of the process that was heard last
	gone  bool   // its connection dropped, and nothing answered
}

// tick asks for the next one when it runs, so it comes once however long the
// loop was away.
func (m *member) tick() {
	m.in(tick, m.tick)
	m.ticks++
	m.beat()
	m.listen()
	m.hint()
	switch {
	case m.group.Asleep():
		m.check()
	case m.occupied() || !m.idle():
		m.group.Tick()
		if m.ticks%handOverLook == 0 {
			m.handOver()
		}
	}
	m.attend() // it may leave
}

// beat tells the others that this process runs.
func (m *member) beat() {
	life := m.life
	for _, to := range m.s.members {
		if to != m {
			m.s.say(m, to, func() { to.hear(m, life) })
		}
	}
}

// say carries words that are no message of raft. They get lost like those.
func (s *Sim) say(from, to *member, f func()) {
	lost := !s.calm && s.chance(s.faults.Drop)
	s.after(s.latency(), func() {
		if !lost && s.connected(from, to) {
			f()
		}
	})
}

// hear takes a beat. It needs no loop: whoever was stopped finds it when it goes on.
func (m *member) hear(from *member, life uint64) {
	if m.group == nil {
		return // it has no seat
	}
	o := &m.others[from.number]
	again := o.life != 0 && o.life != life
	back := o.gone
	o.heard, o.life, o.gone = true, life, false
	if again {
		m.post(func() { m.forget(from, greetingGrace) })
	}
	if again || back {
		m.post(func() { m.greeted(from) })
	}
}

// listen counts a tick of silence for everybody who said nothing.
func (m *member) listen() {
	for _, of := range m.s.members {
		if of == m {
			continue
		}
		o := &m.others[of.number]
		verdict := o.pulse.Tick(o.heard)
		o.heard = false
		switch verdict {
		case election.FellSilent:
			m.s.stats.Silences++
			m.forget(of, campaignStep)
		case election.Returned:
			m.greeted(of)
		}
	}
}

// answers says whether a node is believed to run.
func (m *member) answers(peer identity.PeerID) bool {
	for i, of := range m.s.members {
		if of.peer == peer {
			return of == m || !m.others[i].pulse.Silent() && !m.others[i].gone
		}
	}
	return false
}

// forget is what a member does on its own evidence that another is gone.
func (m *member) forget(gone *member, base time.Duration) {
	m.s.note(m.number, "forgets", uint64(gone.number))
	m.group.Unreachable(gone.peer)
	if state := m.group.State(); state.Leading && !m.view().MajorityAlive() {
		m.group.Wake()
	} else if state.Leader == gone.peer {
		if err := m.group.ForgetLeader(); err != nil {
			m.s.fail("forget leader", "member %d: %v", m.number, err)
		}
		m.seek(base)
	}
}

// greeted is what a member does when another is there again.
func (m *member) greeted(by *member) {
	switch m.group.State().Leader {
	case "":
		m.seek(greetingGrace)
	case by.peer, m.peer:
		m.group.Wake()
	}
}

// seek has this member ask for votes after its turn, and again while nobody leads.
func (m *member) seek(base time.Duration) {
	if !m.seeking {
		m.seekAfter(base, seekAgain)
	}
}

func (m *member) seekAfter(base, again time.Duration) {
	action := election.Decide(m.view())
	if m.seeking = action.Do == election.Campaign; !m.seeking {
		return
	}
	m.in(base+time.Duration(action.Rank)*campaignStep, func() {
		m.seeking = false
		if m.group.State().Leader != "" {
			return
		}
		m.s.note(m.number, "campaigns")
		_ = m.group.Campaign() // refused while entries are still to be applied
		m.seekAfter(again, min(2*again, seekMax))
	})
}

func (m *member) leaderChanged(to identity.PeerID) {
	m.leader = to
	switch to {
	case m.peer:
		m.pace.Lead(m.ticks)
	case "":
		m.seek(greetingGrace)
	}
}

func (m *member) handOver() {
	if _, leading := m.group.Leading(); !leading || m.pace.Left(m.ticks) > 0 {
		return
	}
	if action := election.Decide(m.view()); action.Do == election.TransferTo {
		m.s.note(m.number, "hands over")
		m.pace.Tried(m.ticks)
		m.group.TransferTo(identity.PeerID(action.Target))
	}
}

// view is what this member knows, as the election sees it.
func (m *member) view() election.View {
	state := m.group.State()
	v := election.View{
		Self: election.ID(m.peer), Leader: election.ID(state.Leader),
		Busy: state.Transferring || len(m.waiting) > 0,
	}
	for _, seat := range state.Membership.Members {
		if !seat.Votes() || !state.Membership.Newest(seat.RaftID) {
			continue // its node would answer, and not for it
		}
		alive := m.answers(seat.Peer)
		seen := election.Member{ID: election.ID(seat.Peer), Alive: alive, InSync: alive}
		if p, ok := progress(state, seat.RaftID); ok {
			seen.Alive, seen.InSync = alive && p.Active, alive && p.InSync
		}
		v.Members = append(v.Members, seen)
	}
	return v
}

func progress(state replica.State, raftID uint64) (replica.Progress, bool) {
	for _, p := range state.Members {
		if p.RaftID == raftID {
			return p, true
		}
	}
	return replica.Progress{}, false
}
