package replicatest

import (
	"slices"
	"time"
)

// storm breaks something, and comes back.
func (s *Sim) storm() {
	if s.calm {
		return
	}
	f := s.faults
	steps := []struct {
		weight float64
		run    func()
	}{
		{f.Crash, s.crashOne}, {f.CrashAll, s.crashAll}, {f.Destroy, s.destroyOne},
		{f.Split, s.split}, {f.OneWay, s.oneWay}, {f.Pause, s.pauseOne},
		{f.FalseAlarm, s.falseAlarm}, {f.Unrest, s.stirUp}, {f.Contest, s.contest}, {f.Lull, s.lull},
		{f.Jump, s.jump}, {f.Meddle, s.meddle}, {f.Absence, s.absent},
	}
	total := 0.0
	for _, step := range steps {
		total += step.weight
	}
	at := s.rng.Float64() * total
	for _, step := range steps {
		if at < step.weight {
			step.run()
			break
		}
		at -= step.weight
	}
	s.after(s.between(f.Every/2, f.Every*3/2), s.storm)
}

// clear ends the storm.
func (s *Sim) clear() {
	s.calm = true
	clear(s.cut)
	s.note(-1, "calm")
}

// anyone is one of those that have a seat; any node if none has.
func (s *Sim) anyone() *member {
	seated := slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool { return m.seat.RaftID == 0 })
	if len(seated) == 0 {
		seated = s.members
	}
	return seated[s.rng.IntN(len(seated))]
}

func (s *Sim) crashOne() { s.anyone().crashFor(s.between(20*time.Millisecond, 3*time.Second)) }

func (s *Sim) crashAll() {
	for _, m := range s.members {
		m.crashFor(s.between(20*time.Millisecond, 2*time.Second))
	}
}

// destroyOne takes a member's disk away. It never votes or acknowledges again:
// whatever comes back in its place lacks the nonce of its seat.
func (s *Sim) destroyOne() {
	m := s.anyone()
	if m.seat.RaftID == 0 || m.destroyed || !s.ledger.confs.canLose(s, m.seat.RaftID) {
		return
	}
	m.crash("destroyed")
	m.wipe()
	if s.faults.Spares == 0 {
		m.destroyed = true // nobody takes it in again
		return
	}
	m.restart(s.between(200*time.Millisecond, 4*time.Second))
}

// absent takes a member away for longer than most graces, or cuts it off.
func (s *Sim) absent() {
	m := s.anyone()
	if s.rng.IntN(2) == 0 {
		m.crashFor(s.between(2*time.Second, 8*time.Second))
		return
	}
	s.cutFor(s.between(2*time.Second, 10*time.Second), func(from, to int) bool { return from == m.number || to == m.number })
}

// jump sets a member's clock.
func (s *Sim) jump() {
	m := s.anyone()
	m.skew += s.between(-jumpMax, jumpMax)
	s.note(m.number, "clock jumps")
}

// jumpMax is how far a clock jumps.
const jumpMax = 10 * time.Second

// meddle crashes somebody soon after the next change of members is proposed.
func (s *Sim) meddle() { s.meddling = true }

// split cuts the members into two sides.
func (s *Sim) split() {
	side := make([]bool, len(s.members))
	for i := range side {
		side[i] = s.rng.IntN(2) == 0
	}
	s.cutFor(s.between(200*time.Millisecond, 4*time.Second), func(from, to int) bool { return side[from] != side[to] })
}

// oneWay cuts all that one member sends, all that it hears, or one direction of one link.
func (s *Sim) oneWay() {
	one, other := s.rng.IntN(len(s.members)), s.rng.IntN(len(s.members))
	switch s.rng.IntN(3) {
	case 0:
		s.cutFor(s.between(200*time.Millisecond, 4*time.Second), func(from, _ int) bool { return from == one })
	case 1:
		s.cutFor(s.between(200*time.Millisecond, 4*time.Second), func(_, to int) bool { return to == one })
	default:
		s.cutFor(s.between(200*time.Millisecond, 4*time.Second), func(from, to int) bool { return from == one && to == other })
	}
}

func (s *Sim) cutFor(d time.Duration, cut func(from, to int) bool) {
	s.stats.Cuts++
	s.note(-1, "cut")
	var links [][2]int
	for from := range s.members {
		for to := range s.members {
			if from != to && cut(from, to) {
				links = append(links, [2]int{from, to})
				s.cut[[2]int{from, to}]++
				s.note(from, "cut to", uint64(to))
			}
		}
	}
	s.after(d, func() {
		for _, link := range links {
			s.cut[link] = max(s.cut[link]-1, 0) // all were healed when it became calm
		}
		s.note(-1, "healed")
	})
}

// pauseOne stops a process and lets it go on, as a suspended laptop does.
func (s *Sim) pauseOne() { s.anyone().pause(s.between(50*time.Millisecond, 3*time.Second)) }

// falseAlarm has a member believe that another is gone.
func (s *Sim) falseAlarm() {
	m, other := s.anyone(), s.anyone()
	m.post(func() { m.forget(other, campaignBase) })
}

// stirUp has a member campaign, or a leader hand over, for no reason.
func (s *Sim) stirUp() {
	m, other := s.anyone(), s.anyone()
	m.post(func() {
		if s.rng.IntN(2) == 0 {
			_ = m.group.Campaign() // a leader or a lagging member refuses
		} else if _, leading := m.group.Leading(); leading {
			m.group.TransferTo(other.peer)
		}
	})
}

// lull has nobody push for a while, so that the group may fall asleep.
func (s *Sim) lull() { s.quietUntil = s.now + s.between(time.Second, 5*time.Second) }

// contest has everybody lose sight of the leader and all but one ask for that
// one's vote, while it crashes and comes back at once: it must know then for
// whom it voted.
func (s *Sim) contest() {
	voter := s.anyone()
	for _, m := range s.members {
		m.post(func() {
			if m.group.State().Leader != m.peer {
				_ = m.group.ForgetLeader() // there may be none
			}
		})
		if m != voter {
			m.in(s.between(0, 10*time.Millisecond), func() { _ = m.group.Campaign() }) // a leader refuses
		}
	}
	s.after(s.between(2*time.Millisecond, 25*time.Millisecond), func() {
		voter.crashFor(s.between(time.Millisecond, 5*time.Millisecond))
	})
}
