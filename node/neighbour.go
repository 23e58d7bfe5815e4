package node

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"peer/election"
	"peer/identity"
	"peer/wire"
)

// Nodes that share groups beat each other: one small frame in each tick, however
// many groups they share. A connection is no sign of life, and neither is the
// kernel's acknowledgement: only what the other process wrote is.
const (
	// silenceFloor is the least silence that makes a node a silent one.
	silenceFloor = 500 * time.Millisecond
	// strangerTicks is how often a node without a connection is dialled for a beat.
	strangerTicks = 10
	// stallMax is how long the loop may be away, in a slow sync, while this node
	// still says that it is well.
	stallMax = 2 * time.Second
	// neighboursTicks is how often the neighbours are counted anew: groups rarely
	// lose members, and one that gains some says so at once.
	neighboursTicks = 600
	// entriesUnsaid is what a process knows that does not say.
	entriesUnsaid = 2
	// beatAgeMax bounds what is believed of an echo.
	beatAgeMax = time.Minute
)

// neighbours are the nodes that share groups with this one.
type neighbours struct {
	mu sync.RWMutex
	of map[identity.PeerID]*neighbour
}

// neighbour is one of them.
type neighbour struct {
	// heard is set by whatever bytes come from it, and cleared by each tick.
	heard atomic.Bool
	ails  ailments

	mu       sync.Mutex
	entries  uint32 // the newest version of an entry that it knows; 0 while unknown
	sentUs   uint64 // of its last beat, to be echoed
	cameAt   time.Time
	lastEcho uint64
	rtt      int64 // median, microseconds; 0 while unknown
	silent   bool

	// What follows belongs to the loop's goroutine.
	pulse election.Pulse
	run   uint64
}

func (s *neighbours) get(id identity.PeerID) *neighbour {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[id]
}

func (s *neighbours) all() map[identity.PeerID]*neighbour {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make(map[identity.PeerID]*neighbour, len(s.of))
	for id, nb := range s.of {
		all[id] = nb
	}
	return all
}

// meet makes the members of a group neighbours. Call it when a group gets members.
func (n *Node) meet(g *group) {
	n.near.mu.Lock()
	defer n.near.mu.Unlock()
	for _, peer := range g.fellows() {
		if peer == n.self || n.near.of[peer] != nil {
			continue
		}
		floor := max(5, int((silenceFloor+n.cfg.Tick-1)/n.cfg.Tick))
		n.near.of[peer] = &neighbour{pulse: election.Pulse{FloorTicks: floor, TickMicros: n.cfg.Tick.Microseconds()}}
	}
}

// parted forgets the nodes with which no group is shared any more.
func (n *Node) parted() {
	shared := map[identity.PeerID]bool{}
	for _, g := range n.allGroups() {
		for _, peer := range g.fellows() {
			shared[peer] = true
		}
	}
	n.near.mu.Lock()
	defer n.near.mu.Unlock()
	for id := range n.near.of {
		if !shared[id] {
			delete(n.near.of, id)
		}
	}
}

// sharesGroup says whether peer has a seat beside this node's.
func (n *Node) sharesGroup(peer identity.PeerID) bool { return n.near.get(peer) != nil }

// answers says whether a node is believed to run: it is this one, or there is a
// connection and it was heard lately.
func (n *Node) answers(peer identity.PeerID) bool {
	if peer == n.self {
		return true
	}
	if nb := n.near.get(peer); nb != nil {
		nb.mu.Lock()
		silent := nb.silent
		nb.mu.Unlock()
		if silent {
			return false
		}
	}
	return n.cfg.Network.IsConnected(peer)
}

// roundTripMicros is how long a message to peer and back takes; zero while unknown.
func (n *Node) roundTripMicros(peer identity.PeerID) int64 {
	nb := n.near.get(peer)
	if nb == nil {
		return 0
	}
	nb.mu.Lock()
	defer nb.mu.Unlock()
	return nb.rtt
}

// beatLoop has the senders beat. It is no part of the loop, so that a slow disk
// is not taken for a dead process; but one that is stuck says nothing.
func (n *Node) beatLoop() {
	ticker := time.NewTicker(n.cfg.Tick)
	defer ticker.Stop()
	for round := 0; ; round++ {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		if time.Since(n.started)-time.Duration(n.loop.turned.Load()) > stallMax {
			continue
		}
		if round%roomTicks == 0 {
			n.lookForRoom()
		}
		for id := range n.near.all() {
			if round%strangerTicks == 0 || n.cfg.Network.IsConnected(id) {
				n.raftOut.enqueue(id, outgoing{})
			}
		}
	}
}

// micros is this process's clock for round trips.
func (n *Node) micros() uint64 { return uint64(time.Since(n.started).Microseconds()) }

// beatTo makes the beat that is written now.
func (n *Node) beatTo(to identity.PeerID) *wire.Beat {
	b := &wire.Beat{Run: n.runID, SentUs: n.micros(), Entries: n.knows.Load()}
	if nb := n.near.get(to); nb != nil {
		nb.mu.Lock()
		if nb.sentUs > 0 {
			b.EchoUs, b.HeldUs = nb.sentUs, uint64(time.Since(nb.cameAt).Microseconds())
		}
		nb.mu.Unlock()
	}
	n.ails.tell(b, func(repo identity.RepoID) bool { return !n.hides(repo, to) })
	return b
}

// hear notes that a process wrote something.
func (n *Node) hear(from identity.PeerID) {
	if nb := n.near.get(from); nb != nil {
		nb.heard.Store(true)
	}
}

// takeBeat notes what is to be echoed, and measures the round trip where the beat
// echoes one of ours for the first time: later echoes of it only say that none of
// ours arrived since.
func (n *Node) takeBeat(from identity.PeerID, b *wire.Beat) {
	nb := n.near.get(from)
	if b == nil || nb == nil {
		return
	}
	if nb.ails.hear(b) {
		n.ailingChanged(from)
	}
	trip, measured := nb.take(b, n.micros(), time.Now())
	n.post(func() { n.beaten(from, nb, b.GetRun(), trip, measured) })
}

// take returns the round trip in microseconds, if the beat tells one.
func (nb *neighbour) take(b *wire.Beat, nowUs uint64, now time.Time) (trip int64, ok bool) {
	nb.mu.Lock()
	defer nb.mu.Unlock()
	nb.sentUs, nb.cameAt, nb.entries = b.GetSentUs(), now, max(b.GetEntries(), entriesUnsaid)
	echo, held := b.GetEchoUs(), b.GetHeldUs()
	if echo == 0 || echo <= nb.lastEcho || echo > nowUs {
		return 0, false
	}
	nb.lastEcho = echo
	if away := nowUs - echo; held <= away && away <= uint64(beatAgeMax.Microseconds()) {
		return max(int64(min(away-held, math.MaxInt64)), 1), true
	}
	return 0, false
}

// beaten takes what a beat says, on the loop's goroutine.
func (n *Node) beaten(from identity.PeerID, nb *neighbour, run uint64, trip int64, measured bool) {
	if measured {
		nb.pulse.Measured(trip)
		nb.mu.Lock()
		nb.rtt = nb.pulse.RoundTripMicros()
		nb.mu.Unlock()
	}
	before := nb.run
	if nb.run = run; before != 0 && before != run {
		n.log.Info("node was started again", "peer", from)
		n.peerLost(from, greetingGrace)
		n.greeted(from)
	}
}

// silenceBase is the base of an election after a silence: others notice it up to a
// tick later.
func silenceBase(tick time.Duration) time.Duration { return min(tick/2, campaignStep) }

// countSilence counts one tick of silence for every neighbour that said nothing.
func (n *Node) countSilence() {
	if n.loop.ticks%neighboursTicks == 0 {
		n.parted()
	}
	for id, nb := range n.near.all() {
		verdict := nb.pulse.Tick(nb.heard.Swap(false))
		if verdict == election.Steady {
			continue
		}
		nb.mu.Lock()
		nb.silent = verdict == election.FellSilent
		nb.mu.Unlock()
		if verdict == election.Returned {
			n.log.Info("node is heard again", "peer", id)
			n.greeted(id)
			continue
		}
		if n.cfg.Network.IsConnected(id) {
			n.log.Info("node fell silent", "peer", id, "ticks", nb.pulse.Patience())
		}
		n.peerLost(id, silenceBase(n.cfg.Tick))
	}
}
