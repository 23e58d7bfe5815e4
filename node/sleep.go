package node

import (
	"encoding/binary"
	"time"

	"peer/election"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Groups that have nothing to do sleep; package replica says which, and what wakes
// them. The loop touches no sleeping group in its ticks: nodes vouch for each
// other by their beats, and a node that falls silent, drops, or was started again
// wakes the groups that it led. Behind that stands a check: once a minute a
// sleeping leader says again that its group sleeps, and a follower that does not
// hear it wakes the group.
const (
	checkEvery = time.Minute
	// checkStep is how far apart the groups' turns are in that minute: those of a
	// turn share frames, and a node with a thousand of them wakes rarely.
	checkStep = 5 * time.Second
	// checkMissed is how many checks and a half a follower may miss.
	checkMissed = 2
)

// sleepers are the groups that do not tick, by their turn to be checked.
type sleepers struct {
	turns []map[*group]bool
	step  uint64 // ticks from one turn to the next
}

func newSleepers(tick time.Duration) sleepers {
	s := sleepers{turns: make([]map[*group]bool, checkEvery/checkStep), step: max(1, uint64(checkStep/tick))}
	for i := range s.turns {
		s.turns[i] = map[*group]bool{}
	}
	return s
}

// every is how many ticks are between two checks of a group.
func (s sleepers) every() uint64 { return s.step * uint64(len(s.turns)) }

func (s sleepers) of(g *group) map[*group]bool {
	return s.turns[binary.BigEndian.Uint64(g.genesis.Repo[:])%uint64(len(s.turns))]
}

// due are the groups whose turn it is in this tick.
func (s sleepers) due(tick uint64) map[*group]bool {
	if tick%s.step != 0 {
		return nil
	}
	return s.turns[tick/s.step%uint64(len(s.turns))]
}

// settle notes whether a group that was touched ticks.
func (n *Node) settle(g *group) {
	if g.dropped {
		return
	}
	if g.core.Asleep() && g.problem == nil {
		delete(n.loop.awake, g)
		n.loop.asleep.of(g)[g] = true
		return
	}
	n.loop.awake[g] = true
}

// wake has the group tick, if it did not.
func (g *group) wake() {
	g.core.Wake()
	g.n.touch(g)
}

// wakeAll wakes it on all members: something is wrong with its leader, or may be.
func (g *group) wakeAll() {
	g.wake()
	for _, m := range g.members().Members {
		if m.Peer != g.n.self {
			g.n.raftOut.enqueue(m.Peer, outgoing{g: g})
		}
	}
}

// idle lets a leader that has nothing to do fall asleep, and tells its followers.
func (g *group) idle() bool {
	if g.occupied() || !g.core.FallAsleep(g.n.answers) {
		return false
	}
	if g.handOverSoon() {
		g.core.Wake()
		return false
	}
	g.lull()
	g.n.settle(g)
	return true
}

// occupied says whether somebody waits for something here.
func (g *group) occupied() bool {
	return len(g.waiting) > 0 || len(g.reads) > 0 || g.leader.pushes > 0 || g.needing
}

// handOverSoon says whether a better leader is there, and due before the next check.
func (g *group) handOverSoon() bool {
	v := g.view()
	v.Busy = false
	return g.leader.pace.Left(g.n.loop.ticks) < g.n.loop.asleep.every() && election.Decide(v).Do == election.TransferTo
}

// lull tells the followers that the group sleeps.
func (g *group) lull() {
	s, leads := g.core.Resting()
	if !leads {
		return
	}
	for _, m := range g.members().Members {
		if m.Peer != g.n.self && g.n.answers(m.Peer) {
			g.n.raftOut.enqueue(m.Peer, outgoing{g: g, sleep: &wire.Sleep{Term: s.Term, Index: s.Index}})
		}
	}
}

// lulled is what a follower does when it hears that the group sleeps. If it knows
// better, or somebody here waits for something, the leader must wake.
func (g *group) lulled(from identity.PeerID, s *wire.Sleep) {
	if !g.occupied() && g.core.Agree(from, replica.Sleep{Term: s.GetTerm(), Index: s.GetIndex()}) {
		g.checked = g.n.loop.ticks
		g.n.settle(g)
		return
	}
	g.n.raftOut.enqueue(from, outgoing{g: g})
}

// checkSleepers looks at the groups whose turn it is.
func (n *Node) checkSleepers() {
	every, due := n.loop.asleep.every(), n.loop.asleep.due(n.loop.ticks)
	for g := range due {
		if g.problem != nil || !g.core.Asleep() || n.group(g.genesis.Repo) != g {
			delete(due, g)
			continue
		}
		_, leads := g.core.Resting()
		switch {
		case leads && g.core.FallAsleep(n.answers) && !g.handOverSoon():
			g.lull()
		case leads:
			g.wake()
		case n.loop.ticks-g.checked > checkMissed*every+every/2:
			g.log.Info("nobody said for long that the group sleeps: waking it")
			g.wakeAll()
		}
	}
}
