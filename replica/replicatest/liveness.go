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
	handOverTicks = 20
)

// tick asks for the next one when it runs, so it comes once however long the
// loop was away.
func (m *member) tick() {
	m.in(tick, m.tick)
	m.group.Tick()
	m.ticks++
	m.hint()
	if m.ticks >= m.since+handOverTicks {
		m.since = m.ticks
		m.handOver()
	}
}

// forget is what a member does on its own evidence that another is gone.
func (m *member) forget(gone *member) {
	m.s.note(m.number, "forgets", uint64(gone.number))
	m.group.Unreachable(gone.seat.Peer)
	if m.group.State().Leader == gone.seat.Peer {
		if err := m.group.ForgetLeader(); err != nil {
			m.s.fail("forget leader", "member %d: %v", m.number, err)
		}
		m.campaignSoon(campaignBase)
	}
}

func (m *member) campaignSoon(base time.Duration) {
	action := election.Decide(m.view())
	if action.Do != election.Campaign {
		return
	}
	m.in(base+time.Duration(action.Rank)*campaignStep, func() {
		if m.group.State().Leader == "" {
			m.s.note(m.number, "campaigns")
			_ = m.group.Campaign() // refused while entries are still to be applied
		}
	})
}

func (m *member) handOver() {
	if _, leading := m.group.Leading(); !leading {
		return
	}
	if action := election.Decide(m.view()); action.Do == election.TransferTo {
		m.s.note(m.number, "hands over")
		m.group.TransferTo(identity.PeerID(action.Target))
	}
}

// view is what this member knows, as the election sees it.
func (m *member) view() election.View {
	state := m.group.State()
	v := election.View{
		Self: election.ID(m.seat.Peer), Leader: election.ID(state.Leader),
		Busy: state.Transferring || len(m.waiting) > 0,
	}
	for _, other := range m.s.members {
		alive := other == m || m.s.connected(m, other) && m.s.connected(other, m)
		seen := election.Member{ID: election.ID(other.seat.Peer), Alive: alive, InSync: alive}
		if p, ok := progress(state, other); ok {
			seen.Alive, seen.InSync = p.Active, p.InSync
		}
		v.Members = append(v.Members, seen)
	}
	return v
}

func progress(state replica.State, of *member) (replica.Progress, bool) {
	for _, p := range state.Members {
		if p.Peer == of.seat.Peer {
			return p, true
		}
	}
	return replica.Progress{}, false
}
