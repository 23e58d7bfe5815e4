package node

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Info describes a repository and its group, as one replica sees it.
type Info struct {
	Genesis  *replica.Genesis
	Leader   identity.PeerID // empty while nobody leads
	Term     uint64
	Index    uint64
	Replicas []Replica
	Lock     *wire.Lock
	Problem  string // why the asked replica takes no part, if so
	Dir      string // of the bare repository; empty where this node holds none
	Settings *wire.Settings
	Plan     string // what the leader does about the members, or what keeps it from it
	Removed  *wire.Tombstone
	Head     string       // the branch that HEAD names; empty where who answered is too old to tell
	Unborn   bool         // Head is not there yet; as SetHead found, nobody else looks
	Policy   *wire.Policy // in grants and protections alone; nil where who answered does not know roles
}

// Replica is one member as known to whoever was asked.
type Replica struct {
	Peer          identity.PeerID
	Alive, InSync bool
	Index         uint64
	Role          wire.Role
	RaftID        uint64
}

// listTimeout bounds how long a list waits for what leaders elsewhere know, and
// listAtOnce how many of them are asked at a time.
const (
	listTimeout = time.Second
	listAtOnce  = 16
)

// Repos describes the repositories that this node holds: as their leaders see
// them where these answer in time, otherwise as this node does.
func (n *Node) Repos(ctx context.Context) ([]Info, error) {
	groups := n.allGroups()
	list, errs := make([]Info, len(groups)), make([]error, len(groups))
	asking, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	places := make(chan struct{}, listAtOnce)
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if list[i], errs[i] = n.showOwn(ctx, g); errs[i] != nil || asking.Err() != nil {
				return
			}
			if led, err := n.askLeader(asking, g, list[i]); err == nil {
				list[i] = led
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, b := range n.allBroken() {
		list = append(list, n.showBroken(asking, b))
	}
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(strings.Compare(a.Genesis.Name, b.Genesis.Name), bytes.Compare(a.Genesis.Repo[:], b.Genesis.Repo[:]))
	})
	return list, nil
}

// showGroup describes a repository that has a replica here.
func (n *Node) showGroup(ctx context.Context, g *group) (Info, error) {
	own, err := n.showOwn(ctx, g)
	if err != nil {
		return own, err
	}
	if led, err := n.askLeader(ctx, g, own); err == nil {
		return led, nil
	}
	return own, nil
}

// askLeader asks a group's leader, if another node leads it, and adds what only
// this node knows.
func (n *Node) askLeader(ctx context.Context, g *group, own Info) (Info, error) {
	if own.Leader == "" || own.Leader == n.self {
		return own, nil
	}
	led, err := n.showAt(ctx, g.genesis, own.Leader)
	led.Dir, led.Problem = own.Dir, own.Problem
	return led, err
}

func (n *Node) showOwn(ctx context.Context, g *group) (Info, error) {
	s, err := n.describe(ctx, g)
	if err != nil {
		return Info{}, err
	}
	return infoOf(g.genesis, s, g.repo.Dir()), nil
}

// describe asks the loop what this replica knows about its group.
func (n *Node) describe(ctx context.Context, g *group) (*wire.RepoState, error) {
	return ask(ctx, n, func() *wire.RepoState {
		t := g.core.Table()
		s := n.repoState(g, g.core.State(), g.problem)
		s.Lock, s.Settings, s.Plan, s.Tombstone, s.Policy, s.Head = t.HeldLock(), t.Settings(), g.plan.Why, t.Tombstone(), t.Policy(), t.Head()
		if lineage := g.members().Lineage; lineage.Last().Generation > 0 {
			s.Lineage = lineage.Wire()
		}
		return s
	})
}

// repoState is what this replica knows, as the wire carries it. Where it does
// not lead it knows the others only as connected or not.
func (n *Node) repoState(g *group, state replica.State, problem error) *wire.RepoState {
	s := &wire.RepoState{
		Repo: g.genesis.Repo[:], Genesis: g.genesis.Signed,
		Leader: []byte(state.Leader), Term: state.Term, Index: state.Applied,
	}
	if problem != nil {
		s.Problem = withoutPaths(problem)
	}
	if n.ails.isDamaged(g.genesis.Repo) {
		s.Ails = "its objects are damaged, and are being fetched from the others"
	}
	known := map[uint64]replica.Progress{}
	for _, p := range state.Members {
		known[p.RaftID] = p
	}
	for _, m := range state.Membership.Members {
		r := &wire.ReplicaState{Peer: []byte(m.Peer), Role: m.Role, RaftId: m.RaftID, Alive: n.answers(m.Peer)}
		if m.RaftID == g.raftID {
			r.Index, r.InSync = state.Applied, problem == nil && state.Leader != "" && state.Applied >= state.Commit
		}
		if p, ok := known[m.RaftID]; ok {
			r.Index, r.InSync, r.Alive = p.Match, r.Alive && p.InSync, r.Alive && p.Active
		}
		r.InSync = r.InSync && !n.ailing(m.Peer).isDamaged(g.genesis.Repo)
		s.Replicas = append(s.Replicas, r)
	}
	return s
}

func infoOf(g *replica.Genesis, s *wire.RepoState, dir string) Info {
	info := Info{
		Genesis: g, Leader: identity.PeerID(s.GetLeader()), Term: s.GetTerm(), Index: s.GetIndex(),
		Lock: s.GetLock(), Problem: s.GetProblem(), Dir: dir,
		Settings: s.GetSettings(), Plan: s.GetPlan(), Removed: s.GetTombstone(),
		Policy: s.GetPolicy(), Head: s.GetHead(),
	}
	for _, r := range s.GetReplicas() {
		info.Replicas = append(info.Replicas, Replica{Peer: identity.PeerID(r.GetPeer()), Alive: r.GetAlive(), InSync: r.GetInSync(), Index: r.GetIndex(), Role: r.GetRole(), RaftID: r.GetRaftId()})
	}
	return info
}
