package node

import (
	"context"
	"slices"

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
}

// Replica is one member as known to whoever was asked.
type Replica struct {
	Peer          identity.PeerID
	Alive, InSync bool
	Index         uint64
}

// Repos describes the repositories that this node holds.
func (n *Node) Repos(ctx context.Context) ([]Info, error) {
	var list []Info
	for _, g := range n.allGroups() {
		info, err := n.showOwn(ctx, g)
		if err != nil {
			return nil, err
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b Info) int {
		if a.Genesis.Name != b.Genesis.Name {
			return compare(a.Genesis.Name, b.Genesis.Name)
		}
		return compare(a.Genesis.Repo.String(), b.Genesis.Repo.String())
	})
	return list, nil
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// Show describes a repository, wherever it lives. The leader knows most, so it
// is asked where this node can.
func (n *Node) Show(ctx context.Context, repo identity.RepoID) (Info, error) {
	if g := n.group(repo); g != nil {
		own, err := n.showOwn(ctx, g)
		if err != nil || own.Leader == "" || own.Leader == n.self {
			return own, err
		}
		if led, err := n.showAt(ctx, g.genesis, own.Leader); err == nil {
			led.Dir, led.Problem = own.Dir, own.Problem
			return led, nil
		}
		return own, nil
	}
	return n.Client.Show(ctx, repo)
}

func (n *Node) showOwn(ctx context.Context, g *group) (Info, error) {
	state, problem, err := g.state(ctx)
	if err != nil {
		return Info{}, err
	}
	lock, err := ask(ctx, n, func() *wire.Lock { return g.core.Table().HeldLock() })
	if err != nil {
		return Info{}, err
	}
	return infoOf(g.genesis, n.repoState(g, state, problem), lock, g.repo.Dir()), nil
}

// repoState is what this replica knows, as the wire carries it. Where it does
// not lead it knows the others only as connected or not.
func (n *Node) repoState(g *group, state replica.State, problem error) *wire.RepoState {
	s := &wire.RepoState{
		Repo: g.genesis.Repo[:], Genesis: g.genesis.Signed,
		Leader: []byte(state.Leader), Term: state.Term, Index: state.Applied,
	}
	if problem != nil {
		s.Problem = problem.Error()
	}
	known := map[identity.PeerID]replica.Progress{}
	for _, p := range state.Members {
		known[p.Peer] = p
	}
	for _, m := range g.genesis.Members {
		r := &wire.ReplicaState{Peer: []byte(m.Peer), Alive: m.Peer == n.self || n.cfg.Network.IsConnected(m.Peer)}
		if m.Peer == n.self {
			r.Index, r.InSync = state.Applied, problem == nil && state.Leader != "" && state.Applied >= state.Commit
		}
		if p, ok := known[m.Peer]; ok {
			r.Index, r.InSync, r.Alive = p.Match, p.InSync, r.Alive && p.Active
		}
		s.Replicas = append(s.Replicas, r)
	}
	return s
}

func infoOf(g *replica.Genesis, s *wire.RepoState, lock *wire.Lock, dir string) Info {
	info := Info{
		Genesis: g, Leader: identity.PeerID(s.GetLeader()), Term: s.GetTerm(), Index: s.GetIndex(),
		Lock: lock, Problem: s.GetProblem(), Dir: dir,
	}
	for _, r := range s.GetReplicas() {
		info.Replicas = append(info.Replicas, Replica{Peer: identity.PeerID(r.GetPeer()), Alive: r.GetAlive(), InSync: r.GetInSync(), Index: r.GetIndex()})
	}
	return info
}
