package node

import (
	"context"
	"time"

	"peer/election"
	"peer/identity"
)

// Timing of an election that a dropped connection starts. The base lets every
// survivor notice before the first one asks for votes; a step is longer than an
// election takes on a local network, so that the preferred member usually wins
// alone. Raft's own randomised timeout stands behind it.
const (
	campaignBase = 5 * time.Millisecond
	campaignStep = 30 * time.Millisecond
	// foundingGrace is the base right after a group was founded or opened: its
	// other members may still be on their way.
	foundingGrace = 40 * time.Millisecond
	// greetingGrace lets a leader that is there already make itself heard first.
	greetingGrace = 300 * time.Millisecond
	// handOverTicks is how long a leader leads before it hands over to a higher
	// member in sync, and how long it waits before it tries again.
	handOverTicks = 20
)

// leadership is what the loop remembers about who leads.
type leadership struct {
	of identity.PeerID
	// sinceTick is when that began, or when a hand-over was last tried.
	sinceTick uint64
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
		n.spawn(func() { n.post(func() { n.greeted(peer) }) })
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
		n.post(func() { n.forget(peer) })
	})
}

// sharesGroup says whether peer has a seat beside this node's.
func (n *Node) sharesGroup(peer identity.PeerID) bool {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); ok {
			return true
		}
	}
	return false
}

// greeted has groups without a leader look for one: a majority may be there now.
func (n *Node) greeted(peer identity.PeerID) {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); ok && g.problem == nil && g.core.State().Leader == "" {
			g.campaignSoon(greetingGrace)
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

// forget has the groups that peer led look for another leader.
func (n *Node) forget(peer identity.PeerID) {
	for _, g := range n.allGroups() {
		if _, ok := g.members().Member(peer); !ok || g.problem != nil {
			continue
		}
		g.core.Unreachable(peer)
		if g.core.State().Leader == peer {
			if err := g.core.ForgetLeader(); err != nil {
				g.log.Debug("leader not forgotten", "error", err)
			}
			g.campaignSoon(campaignBase)
		}
		n.touch(g)
	}
}

// campaignSoon has this member ask for votes after its turn in the order of
// preference, if nobody leads by then.
func (g *group) campaignSoon(base time.Duration) {
	action := election.Decide(g.view())
	if action.Do != election.Campaign {
		return
	}
	wait := base + time.Duration(action.Rank)*campaignStep
	g.n.spawn(func() {
		select {
		case <-time.After(wait):
		case <-g.n.ctx.Done():
			return
		}
		g.n.post(func() {
			if g.problem == nil && g.core.State().Leader == "" {
				if err := g.core.Campaign(); err != nil {
					g.log.Debug("no campaign", "error", err)
				}
				g.n.touch(g)
			}
		})
	})
}

// view is what this member knows, as the election sees it. A follower does not
// know who else is in sync: raft's vote rule does.
func (g *group) view() election.View {
	state := g.core.State()
	v := election.View{
		Self: election.ID(g.n.self), Leader: election.ID(state.Leader),
		Busy: state.Transferring || g.leader.pushes > 0,
	}
	for _, m := range g.members().Members {
		alive := m.Peer == g.n.self || g.n.cfg.Network.IsConnected(m.Peer)
		member := election.Member{ID: election.ID(m.Peer), Alive: alive, InSync: alive}
		for _, p := range state.Members {
			if p.Peer == m.Peer {
				member.Alive, member.InSync = p.Active, p.InSync
			}
		}
		v.Members = append(v.Members, member)
	}
	return v
}

func (g *group) tick(now uint64) {
	if g.problem != nil {
		return
	}
	g.core.Tick()
	g.n.touch(g)
	if now >= g.leader.sinceTick+handOverTicks {
		g.leader.sinceTick = now
		g.handOver()
	}
}

// handOver gives leadership to a higher member that is in sync.
func (g *group) handOver() {
	if _, leading := g.core.Leading(); !leading {
		return
	}
	if action := election.Decide(g.view()); action.Do == election.TransferTo {
		g.log.Info("handing leadership over", "to", identity.PeerID(action.Target))
		g.core.TransferTo(identity.PeerID(action.Target))
		g.n.touch(g)
	}
}

func (g *group) leaderChanged(to identity.PeerID) {
	if to != "" {
		g.log.Info("leader changed", "from", g.leader.of, "to", to)
	}
	g.leader.of, g.leader.sinceTick = to, g.n.loop.ticks
	close(g.leader.changed)
	g.leader.changed = make(chan struct{})
	term, _ := g.core.Leading()
	g.n.events.emit(Event{Repo: g.genesis.Repo, Kind: EventLeader, Leader: to, Term: term, Index: g.core.Table().Index()})
	if to != g.n.self {
		return
	}
	g.n.announce(g)
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

// protectMembers keeps the connections to the group's other members.
func (g *group) protectMembers() {
	for _, m := range g.members().Members {
		if m.Peer != g.n.self {
			g.n.cfg.Network.Protect(m.Peer, true)
		}
	}
}
