package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Repair moves the members of a group towards what its owner wants and who is
// alive. The leader alone does it, one step at a time; what the next step is, is
// decided by [replica.PlanMembers].

// candidatesAge is how long the answer to who could take a replica is good for.
const candidatesAge = 15 * time.Second

// repairs is what a node remembers between its looks at the groups.
type repairs struct {
	kick chan struct{}
	// absent is how long each node that shares a group was not connected while
	// this process ran. Only repairLoop's goroutine touches it.
	absent map[identity.PeerID]time.Duration
	saved  map[identity.PeerID]time.Duration

	// refused is when a node did not take a replica that it was asked to take.
	refused       map[refusal]time.Time
	candidates    []identity.PeerID
	candidatesAt  time.Time
	lastLookAtAll time.Time
}

type refusal struct {
	repo identity.RepoID
	peer identity.PeerID
}

// refusedTurns is for how many looks a node that refused a replica is not asked
// again: it may be short of room, or may still be putting an old copy aside.
const refusedTurns = 12

func (r *repairs) init() {
	r.refused = map[refusal]time.Time{}
	r.kick = make(chan struct{}, 1)
	r.absent, r.saved = map[identity.PeerID]time.Duration{}, map[identity.PeerID]time.Duration{}
}

// repairSoon has the groups looked at without waiting for the next turn.
func (n *Node) repairSoon() {
	select {
	case n.repairs.kick <- struct{}{}:
	default:
	}
}

func (n *Node) repairLoop() {
	ticker := time.NewTicker(n.cfg.RepairEvery)
	defer ticker.Stop()
	n.repairs.lastLookAtAll = time.Now()
	for {
		select {
		case <-ticker.C:
			n.noteAbsent()
			n.leaveAll()
		case <-n.repairs.kick:
		case <-n.ctx.Done():
			return
		}
		moving := false
		for _, w := range n.situations() {
			moving = w.g.repair(n.ctx, w.s) || moving
		}
		if moving {
			time.AfterFunc(min(n.cfg.RepairEvery, repairAgain), n.repairSoon)
		}
	}
}

func absentKey(p identity.PeerID) string { return "absent/" + p.String() }

// absentSaveEach is how much more absence is worth a write.
const absentSaveEach = 10 * time.Minute

// noteAbsent counts how long nodes are away. Only time that this process saw
// counts: a machine that slept must not find that all others were gone.
func (n *Node) noteAbsent() {
	r := &n.repairs
	now := time.Now()
	passed := min(now.Sub(r.lastLookAtAll), 2*n.cfg.RepairEvery)
	r.lastLookAtAll = now
	for p := range n.fellows() {
		before, known := r.absent[p]
		if !known {
			before = n.loadAbsent(p)
			r.saved[p] = before
		}
		if n.cfg.Network.IsConnected(p) {
			r.absent[p] = 0
		} else {
			r.absent[p] = before + passed
		}
		if saved := r.saved[p]; r.absent[p] >= saved+absentSaveEach || r.absent[p] == 0 && saved != 0 {
			if err := n.cfg.Store.Put(absentKey(p), binary.BigEndian.AppendUint64(nil, uint64(r.absent[p]))); err == nil {
				r.saved[p] = r.absent[p]
			}
		}
	}
}

func (n *Node) loadAbsent(p identity.PeerID) time.Duration {
	raw, ok, err := n.cfg.Store.Get(absentKey(p))
	if err != nil || !ok || len(raw) != 8 {
		return 0
	}
	return time.Duration(binary.BigEndian.Uint64(raw))
}

// fellows are the other nodes that have a seat in a group of this one.
func (n *Node) fellows() map[identity.PeerID]bool {
	all := map[identity.PeerID]bool{}
	for _, g := range n.allGroups() {
		for _, m := range g.members().Members {
			if m.Peer != n.self {
				all[m.Peer] = true
			}
		}
	}
	return all
}

type repairWork struct {
	g *group
	s replica.Situation
}

// situations are those of the groups that this node leads and that are not as
// they should be.
func (n *Node) situations() []repairWork {
	groups := n.allGroups()
	work, err := ask(n.ctx, n, func() (list []repairWork) {
		for _, g := range groups {
			if g.problem != nil || g.core.Table().Tombstone() != nil {
				continue
			}
			s, leading := g.situation()
			switch {
			case !leading || s.Calm():
				g.plan = replica.Plan{}
			default:
				list = append(list, repairWork{g, s})
			}
		}
		return list
	})
	if err != nil {
		return nil
	}
	for _, w := range work {
		for id, seen := range w.s.Seats {
			m, _ := w.s.Membership.Seat(id)
			seen.StalledMillis = w.g.stalled(m, seen.Match, time.Now()).Milliseconds()
			w.s.Seats[id] = seen
			if newest, _ := w.s.Membership.Member(m.Peer); newest.RaftID == id && !seen.Active {
				seen.GoneMillis = n.repairs.absent[m.Peer].Milliseconds()
				w.s.Seats[id] = seen
			}
		}
	}
	return work
}

// stalled is how long a learner has got nothing further.
func (g *group) stalled(m replica.Member, match uint64, now time.Time) time.Duration {
	at, known := g.stalls[m.RaftID]
	if m.Role != replica.Learner || !known || at.match != match {
		g.stalls[m.RaftID] = stall{match, now}
		return 0
	}
	return now.Sub(at.since)
}

// stall is since when a learner's disk has got nothing further.
type stall struct {
	match uint64
	since time.Time
}

// situation is what this leader knows, on the loop's goroutine.
func (g *group) situation() (replica.Situation, bool) {
	state := g.core.State()
	if !state.Leading {
		return replica.Situation{}, false
	}
	s := replica.Situation{
		Membership: state.Membership, Settings: g.core.Table().Settings(), Founders: len(g.genesis.Members),
		Self: g.raftID, Commit: state.Commit, Seats: map[uint64]replica.Seen{},
	}
	for _, m := range state.Members {
		s.Seats[m.RaftID] = replica.Seen{Match: m.Match, Active: m.Active && g.n.answers(m.Peer)}
	}
	return s, true
}

// repairAgain is how soon a group is looked at again whose members are changing.
const repairAgain = 250 * time.Millisecond

// repair takes the next step, if there is one. It says whether more will follow soon.
func (g *group) repair(ctx context.Context, s replica.Situation) (moving bool) {
	g.findLost(ctx, s)
	if s.Short() {
		s.Candidates = g.n.candidates(ctx, g, s.Settings)
	}
	plan := replica.PlanMembers(s)
	g.n.post(func() { g.plan = plan })
	if err := g.carryOutPlan(ctx, s, plan); err != nil {
		g.log.Warn("members not changed", "step", plan.Why, "error", err)
		return false
	}
	return plan.Do != replica.Keep || s.Moving()
}

// findLost asks nodes that are connected, and whose seat is silent, whether they
// still hold it. One answer may be of a node that is just starting: two count,
// one look apart.
func (g *group) findLost(ctx context.Context, s replica.Situation) {
	lost := map[uint64]bool{}
	for id, seen := range s.Seats {
		m, _ := s.Membership.Seat(id)
		if newest, _ := s.Membership.Member(m.Peer); newest.RaftID != id {
			seen.Active, seen.Lost = false, true // the node has another seat
			s.Seats[id] = seen
			continue
		}
		if seen.Active || !g.n.cfg.Network.IsConnected(m.Peer) || !g.n.seatLost(ctx, g, m) {
			continue
		}
		lost[id] = true
		seen.Lost = g.lostBefore[id]
		s.Seats[id] = seen
	}
	g.lostBefore = lost
}

// seatLost says whether a node answers, and no longer has the seat.
func (n *Node) seatLost(ctx context.Context, g *group, m replica.Member) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := n.tell(ctx, m.Peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: g.genesis.Repo[:]}}})
	var refused *FailureError
	if errors.As(err, &refused) {
		return refused.F.GetCode() == wire.FailureCode_FAILURE_NOT_FOUND
	}
	if at := r.GetWhere(); err == nil && len(at.GetWaits()) > 0 {
		sum := sha256.Sum256(m.Nonce)
		return !bytes.Equal(at.GetWaits(), sum[:])
	}
	return err == nil && r.GetWhere().GetLost()
}

// candidates are the nodes that could take a replica, the best first. In an open
// network only those that the owner named are trusted as voters.
func (n *Node) candidates(ctx context.Context, g *group, settings *wire.Settings) []identity.PeerID {
	r := &n.repairs
	if time.Since(r.candidatesAt) > min(candidatesAge, n.cfg.RepairEvery) {
		r.candidates, r.candidatesAt = n.probe(ctx), time.Now()
	}
	list := slices.DeleteFunc(slices.Clone(r.candidates), func(p identity.PeerID) bool {
		_, founder := g.genesis.Membership().Member(p)
		named := slices.ContainsFunc(settings.GetOn(), func(raw []byte) bool { return string(raw) == string(p) })
		at, refused := r.refused[refusal{g.genesis.Repo, p}]
		return !n.cfg.Closed && !named && !founder || refused && time.Since(at) < refusedTurns*n.cfg.RepairEvery
	})
	slices.SortFunc(list, func(a, b identity.PeerID) int {
		return bytes.Compare(rank(g.genesis.Repo, b), rank(g.genesis.Repo, a))
	})
	return list
}

func (g *group) carryOutPlan(ctx context.Context, s replica.Situation, plan replica.Plan) error {
	switch plan.Do {
	case replica.Admit:
		g.log.Info("asking a node to take a replica", "peer", plan.Peer, "why", plan.Why)
		return g.admit(ctx, s, plan)
	case replica.Drop:
		if m, ok := s.Membership.Seat(plan.Seat); ok {
			g.n.repairs.refused[refusal{g.genesis.Repo, m.Peer}] = time.Now()
		}
		return g.proposeMembers(ctx, func() *replica.Membership { return s.Membership.Drop(plan.Seat) })
	case replica.Become:
		return g.proposeMembers(ctx, func() *replica.Membership { return s.Membership.Become(plan.Voters) })
	case replica.HandOver:
		g.n.post(func() {
			g.core.TransferTo(plan.Peer)
			g.n.touch(g)
		})
	}
	return nil
}

// admit has a node draw the nonce of its seat, and gives it the seat.
func (g *group) admit(ctx context.Context, s replica.Situation, plan replica.Plan) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := g.n.tell(ctx, plan.Peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{
		Repo: g.genesis.Repo[:], InsteadOf: plan.Seat, Owner: g.genesis.Owner[:], Name: g.genesis.Name,
	}}})
	if err != nil {
		g.n.repairs.refused[refusal{g.genesis.Repo, plan.Peer}] = time.Now()
		return fmt.Errorf("node %s: %w", plan.Peer, err)
	}
	if len(r.GetPrepare().GetNonce()) != replica.NonceBytes {
		g.n.repairs.refused[refusal{g.genesis.Repo, plan.Peer}] = time.Now()
		return fmt.Errorf("node %s draws a nonce of %d bytes", plan.Peer, len(r.GetPrepare().GetNonce()))
	}
	proof, err := replica.Introduce(g.n.cfg.Key, g.genesis, plan.Peer, s.Membership.NextRaftID)
	if err != nil {
		return err
	}
	return g.proposeMembers(ctx, func() *replica.Membership {
		return s.Membership.Admit(plan.Peer, r.GetPrepare().GetNonce(), proof)
	})
}

// proposeMembers offers the next membership, made of the one that was planned for.
func (g *group) proposeMembers(ctx context.Context, next func() *replica.Membership) error {
	failed, err := ask(ctx, g.n, func() error {
		if g.problem != nil {
			return g.problem
		}
		g.n.touch(g)
		return g.core.ProposeMembers(next())
	})
	return errors.Join(err, failed)
}

// membershipChanged takes in who has which seat from now on.
func (g *group) membershipChanged(ms *replica.Membership) {
	before := g.membership.Swap(ms)
	for _, m := range ms.Members {
		if old, had := before.Seat(m.RaftID); !had || old.Role != m.Role {
			g.log.Info("members changed", "peer", m.Peer, "seat", m.RaftID, "role", RoleName(m.Role), "index", ms.Index)
		}
	}
	for _, m := range before.Members {
		if _, stays := ms.Seat(m.RaftID); !stays {
			g.parted(m.Peer)
			g.log.Info("members changed", "peer", m.Peer, "seat", m.RaftID, "role", "none", "index", ms.Index)
		}
	}
	g.protectMembers()
	g.n.meet(g)
	g.emit(Event{Kind: EventMembers, Leader: g.leader.of, Index: ms.Index, Members: ms.Members})
	g.n.repairSoon()
}

// RoleName is a member's role as people read it.
func RoleName(r wire.Role) string {
	return map[wire.Role]string{replica.Voter: "voter", replica.Learner: "learner", replica.Incoming: "incoming", replica.Outgoing: "outgoing"}[r]
}
