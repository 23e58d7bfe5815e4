package replicatest

import (
	"errors"
	"fmt"
	"time"

	"peer/election"
	"peer/replica"
)

const (
	checkTicks = 600 // between two checks of a sleeping group
	// sleepTime is how long a group that is at rest may take to fall asleep, and
	// replaceTime how long to replace a leader that stopped while it slept.
	sleepTime   = 30 * time.Second
	replaceTime = 10 * time.Second
)

// occupied says whether somebody waits for something here.
func (m *member) occupied() bool { return len(m.waiting) > 0 || len(m.reads) > 0 || m.needing }

// idle lets a leader that has nothing to do fall asleep, and tells its followers.
func (m *member) idle() bool {
	if !m.group.FallAsleep(m.answers) {
		return false
	}
	if m.handOverSoon() {
		m.group.Wake()
		return false
	}
	m.s.stats.Sleeps++
	m.s.note(m.number, "sleeps")
	m.lull()
	return true
}

func (m *member) handOverSoon() bool {
	return m.pace.Left(m.ticks) < checkTicks && election.Decide(m.view()).Do == election.TransferTo
}

func (m *member) lull() {
	said, leads := m.group.Resting()
	if !leads {
		return
	}
	for _, to := range m.s.members {
		if to != m && m.answers(to.peer) {
			m.s.say(m, to, func() { to.post(func() { to.lulled(m, said) }) })
		}
	}
}

func (m *member) lulled(by *member, said replica.Sleep) {
	if !m.occupied() && m.group.Agree(by.peer, said) {
		m.checked = m.ticks
		m.s.note(m.number, "sleeps too")
		return
	}
	m.s.say(m, by, func() { by.post(by.group.Wake) })
}

// wakeAll wakes the group on all members.
func (m *member) wakeAll() {
	m.group.Wake()
	for _, to := range m.s.members {
		if to != m {
			m.s.say(m, to, func() { to.post(func() { to.group.Wake() }) })
		}
	}
}

// check is what a sleeping member does once a minute.
func (m *member) check() {
	_, leads := m.group.Resting()
	switch {
	case !leads && m.ticks-m.checked > 5*checkTicks/2:
		m.wakeAll()
	case !leads || m.ticks%checkTicks != 0:
	case m.group.FallAsleep(m.answers) && !m.handOverSoon():
		m.lull()
	default:
		m.group.Wake()
	}
}

// slumber has the group fall asleep, and take a push; fall asleep again, with its
// members at odds about it; and replace a leader that stops.
func (s *Sim) slumber() {
	s.awaitSleep()
	s.clients[0].pushes = 1
	s.clients[0].think()
	s.settle("after a push to a sleeping group")
	s.awaitSleep()
	s.disturb()
	if rest := s.participants(); s.violation == nil && len(rest) > s.ledger.confs.last().Quorum() {
		s.stopLeader(rest)
		s.settle("after a sleeping leader had stopped")
	}
}

func (s *Sim) awaitSleep() {
	var awake error
	if s.violation == nil && !s.until(sleepTime, func() bool { awake = s.sleepless(); return awake == nil }) && s.violation == nil {
		s.fail("sleep", "a group with nothing to do does not sleep: %v", awake)
	}
}

func (s *Sim) sleepless() error {
	for _, m := range s.participants() {
		if m.group == nil || !m.group.Asleep() {
			return fmt.Errorf("member %d is awake", m.number)
		}
	}
	return nil
}

// disturb wakes one member of a sleeping group, as if it had not heard that all
// sleep, then has the leader start again at once, which nobody is told: each time
// all must agree again.
func (s *Sim) disturb() {
	if s.violation != nil {
		return
	}
	rest := s.participants()
	rest[s.rng.IntN(len(rest))].group.Wake()
	s.awaitSleep()
	for _, m := range s.participants() {
		if s.violation == nil && m.group != nil && m.leader == m.peer {
			m.silently = true
			m.crashFor(time.Millisecond)
			break
		}
	}
	s.settle("after a sleeping leader was started again")
	s.awaitSleep()
}

// stopLeader stops the process of the leader for as long as others may take to
// replace it.
func (s *Sim) stopLeader(rest []*member) {
	var stopped *member
	for _, m := range rest {
		if _, leads := m.group.Leading(); leads {
			stopped = m
		}
	}
	var reason error
	followed := func() bool {
		reason = nil
		for _, m := range rest {
			if leader := m.group.State().Leader; m != stopped && (leader == "" || leader == stopped.peer) {
				reason = errors.Join(reason, fmt.Errorf("member %d follows %q", m.number, leader))
			}
		}
		return reason == nil
	}
	stopped.pause(replaceTime)
	if !s.until(replaceTime, followed) && s.violation == nil {
		s.fail("silence", "a leader that stopped is not replaced: %v", reason)
	}
}
