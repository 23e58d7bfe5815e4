package node

import (
	"context"
	"slices"
	"sync"

	"peer/identity"
	"peer/wire"
)

// ailments are what makes replicas of one node unfit to lead, though they follow
// their logs. Nodes tell each other in every beat.
type ailments struct {
	mu sync.RWMutex
	// damaged are the repositories whose objects are being mended: such a replica
	// is not in sync, since not all that it acknowledged is whole.
	damaged map[identity.RepoID]bool
	// full: there is no room for pushes.
	full bool
}

const (
	// ailingMax is how many damaged repositories a beat names.
	ailingMax = 64
	// roomTicks is how often a node looks whether its disk is full.
	roomTicks = 10
)

func (a *ailments) isDamaged(repo identity.RepoID) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.damaged[repo]
}

func (a *ailments) isUnfit(repo identity.RepoID) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.full || a.damaged[repo]
}

func (a *ailments) isFull() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	return a.full
}

// setDamaged says whether that is news, as do the two that follow.
func (a *ailments) setDamaged(repo identity.RepoID, damaged bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.damaged[repo]
	switch {
	case !damaged:
		delete(a.damaged, repo)
	case a.damaged == nil:
		a.damaged = map[identity.RepoID]bool{repo: true}
	default:
		a.damaged[repo] = true
	}
	return before != damaged
}

func (a *ailments) setFull(full bool) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.full
	a.full = full
	return before != full
}

// hear takes what a beat tells.
func (a *ailments) hear(b *wire.Beat) bool {
	named := b.GetDamaged()[:min(len(b.GetDamaged()), ailingMax)]
	a.mu.Lock()
	defer a.mu.Unlock()
	news := a.full != b.GetFull() || len(a.damaged) != len(named)
	a.full = b.GetFull()
	if len(named) == 0 {
		a.damaged = nil
		return news
	}
	damaged := make(map[identity.RepoID]bool, len(named))
	for _, raw := range named {
		if repo, err := identity.RepoIDFromBytes(raw); err == nil {
			damaged[repo] = true
			news = news || !a.damaged[repo]
		}
	}
	a.damaged = damaged
	return news
}

// tell puts it into a beat, as far as the receiver may know of the repositories.
func (a *ailments) tell(b *wire.Beat, mayKnow func(identity.RepoID) bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	b.Full = a.full
	for repo := range a.damaged {
		if mayKnow(repo) {
			b.Damaged = append(b.Damaged, repo[:])
		}
	}
	slices.SortFunc(b.Damaged, slices.Compare)
	b.Damaged = b.Damaged[:min(len(b.Damaged), ailingMax)]
}

// ailing is what is known of a node's replicas: this one's, or a neighbour's.
func (n *Node) ailing(peer identity.PeerID) *ailments {
	if peer == n.self {
		return &n.ails
	}
	if nb := n.near.get(peer); nb != nil {
		return &nb.ails
	}
	return new(ailments)
}

// ailingChanged has the groups that peer leads, or this node, look for a fitter leader.
func (n *Node) ailingChanged(peer identity.PeerID) { n.post(func() { n.greeted(peer) }) }

// treat mends a replica whose objects were found damaged. What can't be mended
// now is tried again after the next check.
func (g *group) treat(ctx context.Context, report *wire.Verified) error {
	damaged := slices.ContainsFunc(report.GetFindings(), func(f *wire.Finding) bool { return f.GetPart() == "objects" })
	if g.n.ails.setDamaged(g.genesis.Repo, damaged) {
		g.n.ailingChanged(g.n.self)
	}
	if !damaged {
		return nil
	}
	if err := g.work.during(ctx, g.mend); err != nil {
		return err
	}
	g.n.ails.setDamaged(g.genesis.Repo, false)
	g.n.ailingChanged(g.n.self)
	return nil
}
