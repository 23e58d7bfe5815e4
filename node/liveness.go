package node

import (
	"context"
	"time"

	"peer/election"
	"peer/identity"
	"peer/replica"
)

// Timing of an election that a lost leader starts. The base lets every survivor
// notice before the first one asks for votes; a step is longer than an election
// takes, so that the preferred member usually wins alone. Who still follows the
// lost leader answers no vote, so members ask again. Raft's own randomised timeout
// stands behind it.
const (
	campaignBase = 5 * time.Millisecond
	campaignStep = 30 * time.Millisecond
	// stepRoundTrips is what an election takes beside that: two rounds of votes.
	stepRoundTrips = 2
	// seekAgain is the first pause before members ask again, and seekMax the longest.
	seekAgain = 100 * time.Millisecond
	seekMax   = 2 * time.Second
	// foundingGrace is the base right after a group was founded or opened: its
	// other members may still be on their way.
	foundingGrace = 40 * time.Millisecond
	// greetingGrace lets a leader that is there already make itself heard first.
	greetingGrace = 300 * time.Millisecond
	// handOverTicks is how long a leader leads before it hands over to a better
	// member in sync. It waits longer if that did not last; see election.Pace.
	handOverTicks = 20
	// busyMax is how long pushes in flight can put a hand-over off.
	busyMax = 30 * time.Second
)

// leadership is what the loop remembers about who leads.
type leadership struct {
	of identity.PeerID
	// pace says when a hand-over is due; wanted is the tick since which one is, and
	// zero while none is.
	pace   election.Pace
	wanted uint64
	// seeking: this member is going to ask for votes.
	seeking bool
	// changed is closed and replaced at each change.
	changed chan struct{}
	// pushes in flight here; a leader does not hand over while there are any.
	pushes int
	// published: the announcer was told when this node led for the first time.
	published bool
}

// peerChanged is called by the transport. A dropped connection alone proves
// nothing: the other side is dialled at once, and only when nothing answers do
// the groups that it led look for another leader.
func (n *Node) peerChanged(peer identity.PeerID, connected bool) {
	if n.ctx.Err() != nil {
		return
	}
	if connected {
		n.spawn(func() { n.post(func() { n.connected(peer) }) })
		return
	}
	if !n.sharesGroup(peer) {
		return
	}
	n.spawn(func() {
		n.post(func() { n.interrupted(peer) })
		ctx, cancel := context.WithTimeout(n.ctx, redialTimeout)
		defer cancel()
		if err := n.cfg.Network.Redial(ctx, peer); err == nil || n.ctx.Err() != nil {
			return
		}
		n.log.Info("node dropped", "peer", peer)
		n.post(func() { n.peerLost(peer, campaignBase) })
	})
}

// connected begins to listen to a node anew.
func (n *Node) connected(peer identity.PeerID) {
	if nb := n.near.get(peer); nb != nil {
		nb.pulse.Greet()
		n.greeted(peer)
	}
}

// greeted has groups without a leader look for one, since a majority may be there
// now, and wakes those that peer leads, or must be told about by this node.
func (n *Node) greeted(peer identity.PeerID) {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); !ok || g.problem != nil {
			continue
		}
		switch g.core.State().Leader {
		case "":
			g.seek(greetingGrace)
		case peer, n.self:
			g.wake()
		}
	}
}

// interrupted has a snapshot sent again that the peer may have lost.
func (n *Node) interrupted(peer identity.PeerID) {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); ok && g.problem == nil {
			g.core.SnapshotSent(peer, false)
			n.touch(g)
		}
	}
}

// peerLost has the groups that peer led look for another leader.
func (n *Node) peerLost(peer identity.PeerID, base time.Duration) {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); !ok || g.problem != nil {
			continue
		}
		g.core.Unreachable(peer)
		if state := g.core.State(); state.Leading && !g.view().MajorityAlive() {
			g.core.Wake() // it must step down
		} else if state.Leader == peer {
			if err := g.core.ForgetLeader(); err != nil {
				g.log.Debug("leader not forgotten", "error", err)
			}
			g.seek(base)
		}
		n.touch(g)
	}
}

// seek has this member ask for votes after its turn in the order of preference,
// and again while nobody leads and a majority answers.
func (g *group) seek(base time.Duration) {
	g.n.touch(g) // also one that is new here
	if !g.leader.seeking {
		g.seekAfter(base, seekAgain)
	}
}

func (g *group) seekAfter(base, again time.Duration) {
	action := election.Decide(g.view())
	if g.leader.seeking = action.Do == election.Campaign; !g.leader.seeking {
		return
	}
	step := campaignStep + stepRoundTrips*g.roundTrip()
	wait := base + time.Duration(action.Rank)*step
	g.n.spawn(func() {
		select {
		case <-time.After(wait):
		case <-g.n.ctx.Done():
			return
		}
		g.n.post(func() {
			g.leader.seeking = false
			if g.problem != nil || g.core.State().Leader != "" {
				return
			}
			if err := g.core.Campaign(); err != nil {
				g.log.Debug("no campaign", "error", err)
			}
			g.n.touch(g)
			g.seekAfter(max(again, 3*step), min(2*again, seekMax))
		})
	})
}

// roundTrip is how long a message takes to the farthest member that answers, and back.
func (g *group) roundTrip() time.Duration {
	longest := int64(0)
	for _, m := range g.members().Members {
		if m.Peer != g.n.self && g.n.answers(m.Peer) {
			longest = max(longest, g.n.roundTripMicros(m.Peer))
		}
	}
	return time.Duration(longest) * time.Microsecond
}

// view is what this member knows, as the election sees it. A follower does not
// know who else is in sync: raft's vote rule does.
func (g *group) view() election.View {
	state := g.core.State()
	v := election.View{
		Self: election.ID(g.n.self), Leader: election.ID(state.Leader),
		Busy: state.Transferring || g.busy(), Stay: g.n.cfg.Stay || g.core.Table().Settings().GetStay(),
	}
	known := map[uint64]replica.Progress{}
	for _, p := range state.Members {
		known[p.RaftID] = p
	}
	members := g.members()
	for _, m := range members.Voters() {
		if !members.Newest(m.RaftID) {
			continue // its node would answer, and not for it
		}
		alive := g.n.answers(m.Peer)
		member := election.Member{
			ID: election.ID(m.Peer), Alive: alive, InSync: alive,
			Priority: g.priority(m.Peer), RoundTripMicros: g.n.roundTripMicros(m.Peer),
			Unfit: g.n.ailing(m.Peer).isUnfit(g.genesis.Repo),
		}
		if p, ok := known[m.RaftID]; ok {
			member.Alive = alive && p.Active
			member.InSync = alive && p.InSync
		}
		v.Members = append(v.Members, member)
	}
	return v
}

// priority is what the owner set for a node.
func (g *group) priority(peer identity.PeerID) int32 {
	for _, p := range g.core.Table().Settings().GetPriorities() {
		if string(p.GetPeer()) == string(peer) {
			return p.GetPriority()
		}
	}
	return 0
}

// busy says whether pushes in flight put a hand-over off. They do for a while:
// where people push all the time, it would never come.
func (g *group) busy() bool {
	waited := time.Duration(g.n.loop.ticks-g.leader.wanted) * g.n.cfg.Tick
	return g.leader.pushes > 0 && (g.leader.wanted == 0 || waited < busyMax)
}

// tick passes time on to raft, more slowly where its messages take long.
func (g *group) tick(now uint64) {
	if now%g.ticksPerTick() == 0 {
		if g.idle() {
			return
		}
		g.core.Tick()
		g.n.touch(g)
	}
	if now%handOverLook == 0 {
		g.handOver(now)
	}
}

// Raft gives up an election, and a leader its lead, when it hears nothing for a
// number of its ticks. Four round trips fit into that: two for the votes, and
// as much again for what gets lost. But a leader's heartbeats must come before the
// timeout of a follower that is nearer, so there is a limit.
const (
	timeoutRoundTrips = 4
	ticksPerTickMax   = 8
)

// ticksPerTick is how many ticks of the node make one of raft's.
func (g *group) ticksPerTick() uint64 {
	timeout := replica.ElectionTicks * g.n.cfg.Tick
	return uint64(min(1+timeoutRoundTrips*g.roundTrip()/timeout, ticksPerTickMax))
}

// handOverLook is how often, in ticks, a leader looks whether somebody better is there.
const handOverLook = 5

// handOver gives leadership to a better member that is in sync.
func (g *group) handOver(now uint64) {
	if _, leading := g.core.Leading(); !leading || g.leader.pace.Left(now) > 0 {
		return
	}
	v := g.view()
	action := election.Decide(v)
	if action.Do != election.TransferTo {
		if v.Busy = false; election.Decide(v).Do != election.TransferTo {
			g.leader.wanted = 0
		} else if g.leader.wanted == 0 {
			g.leader.wanted = now
		}
		return
	}
	g.log.Info("handing leadership over", "to", identity.PeerID(action.Target))
	g.leader.pace.Tried(now)
	g.leader.wanted = 0
	g.core.TransferTo(identity.PeerID(action.Target))
	g.n.touch(g)
}

func (g *group) leaderChanged(to identity.PeerID) {
	if to != "" {
		g.log.Info("leader changed", "from", g.leader.of, "to", to)
	}
	g.leader.of, g.leader.wanted = to, 0
	switch to {
	case g.n.self:
		g.leader.pace.Lead(g.n.loop.ticks)
	case "":
		g.seek(greetingGrace + stepRoundTrips*g.roundTrip()) // somebody may be winning already
	}
	close(g.leader.changed)
	g.leader.changed = make(chan struct{})
	term, _ := g.core.Leading()
	g.emit(Event{Kind: EventLeader, Leader: to, Term: term, Index: g.core.Table().Index()})
	if to != g.n.self {
		return
	}
	g.n.announce(g)
	g.n.repairSoon()
	if !g.leader.published {
		g.leader.published = true
		g.n.freshen(g)
	}
}

// awaitLeader returns who leads, waiting for an election to end.
func (g *group) awaitLeader(ctx context.Context) (identity.PeerID, error) {
	for {
		now, err := ask(ctx, g.n, func() leadership { return g.leader })
		if err != nil || now.of != "" {
			return now.of, err
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// protectMembers keeps the connections to the group's other members, also to those of
// whom a newcomer knows by its introduction alone.
func (g *group) protectMembers() {
	for _, peer := range g.fellows() {
		if peer != g.n.self {
			g.n.cfg.Network.Protect(peer, true)
		}
	}
}
