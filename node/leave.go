package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// errRemoved: the group went on without this replica.
var errRemoved = errors.New("the group gave this replica's seat up")

// removedSuffix marks the directory of a replica that its group gave up; it is
// deleted when it has been that for removedAge.
const (
	removedSuffix = ".removed"
	removedAge    = 24 * time.Hour
)

// leaveAll looks for groups that went on without this node. A replica drops its
// copy only after a majority of the group's voters said that its seat is gone and
// that they hold what it holds, and while no member that it knows follows a leader
// of a group with this seat in it.
func (n *Node) leaveAll() {
	for _, g := range n.allGroups() {
		index, suspect := g.suspectsRemoval()
		if !suspect || n.ctx.Err() != nil || !g.confirmRemoval(n.ctx, index) {
			continue
		}
		if err := n.retire(n.ctx, g); err != nil {
			g.log.Warn("a copy that the group gave up stays here", "error", err)
		}
	}
}

// suspectsRemoval: nobody leads here, or the log itself says that the seat is
// gone. It returns what this replica applied.
func (g *group) suspectsRemoval() (uint64, bool) {
	type answer struct {
		index   uint64
		suspect bool
	}
	a, err := ask(g.n.ctx, g.n, func() answer {
		state := g.core.State()
		_, seated := state.Membership.Seat(g.raftID)
		joining := g.core.Self().Role == replica.Learner && state.Leader != ""
		return answer{state.Applied, !joining && (state.Leader == "" || !seated)}
	})
	return a.index, err == nil && a.suspect
}

func (g *group) confirmRemoval(ctx context.Context, index uint64) bool {
	known := g.members()
	ask := g.n.membersToAsk(g.genesis)
	for _, m := range known.Members {
		ask = append(ask, m.Peer)
	}
	answers := map[identity.PeerID]*wire.WhereReply{}
	best := g.askWhere(ctx, ask, answers)
	// NB: this replica's own log may say as much: then the others know nothing newer.
	if best == nil || best.Index < known.Index {
		return false
	}
	var voters []identity.PeerID
	for _, m := range best.Members {
		voters = append(voters, m.Peer)
	}
	g.askWhere(ctx, voters, answers)
	for p, at := range answers {
		if _, fellow := known.Member(p); fellow && hasSeat(at, g.raftID) && len(at.GetLeader()) > 0 {
			return false
		}
	}
	if _, voted := known.Lineage.Last().Voter(g.raftID); voted {
		// A majority of the voters that this replica knows signed the way to those without it.
		if _, votes := best.Lineage.Last().Voter(g.raftID); votes || !best.Lineage.Extends(known.Lineage) {
			return false
		}
	} else if !known.HasQuorum(func(m replica.Member) bool {
		// No certificate tells of learners: most of those that this replica knows must.
		at := answers[m.Peer]
		gone := g.n.repairs.absent[m.Peer] >= removedAge
		return m.RaftID == g.raftID || gone || at != nil && at.GetMembersIndex() > known.Index && !hasSeat(at, g.raftID)
	}) && !g.n.cfg.Closed {
		return false
	}
	return best.HasQuorum(func(m replica.Member) bool {
		at := answers[m.Peer]
		return at != nil && at.GetProblem() == "" && at.GetMembersIndex() >= best.Index && !hasSeat(at, g.raftID) && at.GetIndex() >= index
	})
}

// askWhere asks those who have not answered yet, and returns the newest
// membership without this replica's seat that anybody told of and proved.
func (g *group) askWhere(ctx context.Context, peers []identity.PeerID, answers map[identity.PeerID]*wire.WhereReply) (best *replica.Membership) {
	for _, p := range peers {
		if _, asked := answers[p]; asked || p == g.n.self || !g.n.cfg.Network.IsConnected(p) {
			continue
		}
		at, err := g.n.whereAt(ctx, p, g.genesis.Repo)
		if err != nil {
			continue
		}
		answers[p] = at
		proved, members, err := seatsAt(g.genesis, at)
		if err != nil || hasSeat(at, g.raftID) {
			continue
		}
		now := &replica.Membership{Index: at.GetMembersIndex(), Members: members, Lineage: proved}
		if best == nil || cmp.Or(cmp.Compare(now.Lineage.Last().Generation, best.Lineage.Last().Generation), cmp.Compare(now.Index, best.Index)) > 0 {
			best = now
		}
	}
	return best
}

func hasSeat(at *wire.WhereReply, raftID uint64) bool {
	for _, m := range at.GetMembers() {
		if m.GetRaftId() == raftID {
			return true
		}
	}
	return false
}

// retire ends a replica and puts its repository aside.
func (n *Node) retire(ctx context.Context, g *group) error {
	n.founding.Lock()
	defer n.founding.Unlock()
	if n.group(g.genesis.Repo) != g {
		return nil
	}
	if err := n.dropReplica(ctx, g, errRemoved); err != nil {
		return err
	}
	g.log.Info("the group went on without this node, which puts its copy aside", "dir", g.repo.Dir()+removedSuffix)
	if err := os.RemoveAll(g.repo.Dir() + removedSuffix); err != nil {
		return err
	}
	return os.Rename(g.repo.Dir(), g.repo.Dir()+removedSuffix)
}

// dropReplica forgets a replica's log, table and seat. Its objects stay. The
// caller holds founding.
func (n *Node) dropReplica(ctx context.Context, g *group, why error) error {
	if n.group(g.genesis.Repo) != g {
		return nil // it has been dropped, and another may have taken its place
	}
	if _, err := ask(ctx, n, func() bool {
		g.leave(why)
		g.dropped = true
		delete(n.loop.dirty, g)
		delete(n.loop.awake, g)
		delete(n.loop.asleep.of(g), g)
		return true
	}); err != nil {
		return err
	}
	if err := g.pub.rest(ctx); err != nil {
		return err
	}
	g.work.end(why)
	repo := g.genesis.Repo
	if err := n.cfg.Store.DropRepo(repo); err != nil {
		return fmt.Errorf("forget the replica: %w", err)
	}
	n.mu.Lock()
	delete(n.groups, repo)
	n.mu.Unlock()
	n.parted()
	return os.RemoveAll(g.staging.dir)
}

// rest waits until what was handed to the publisher is done, or has failed.
func (p *publisher) rest(ctx context.Context) error {
	for {
		p.mu.Lock()
		running, changed := p.running, p.changed
		p.mu.Unlock()
		if !running {
			return nil
		}
		select {
		case <-changed:
		case <-time.After(100 * time.Millisecond): // it may end without publishing anything
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
