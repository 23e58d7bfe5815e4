package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Two members whose tables differ at one index can't tell which of them is
// damaged: the group's majority says so. Whoever learns of a difference, from an
// entry, a hint or a question, asks all others, and leaves if a majority of the
// members has another table than its own. So a damaged leader leaves as well:
// its followers ask it, and that is how it hears of it.

// inquiryPause is between two questions to a group of which too few answered.
const inquiryPause = 250 * time.Millisecond

func leftKey(repo identity.RepoID) string { return "left/" + repo.String() }

// differs starts an inquiry. It runs on the loop's goroutine.
func (g *group) differs(index uint64, why string) {
	if g.problem != nil || g.inquiring {
		return
	}
	g.inquiring = true
	g.log.Warn("another member has another table", "index", index, "known", why)
	g.n.spawn(func() { g.inquire(index) })
}

// compare holds another member's table against this one's, on the loop's
// goroutine: now, or when this replica gets there.
func (g *group) compare(there *wire.StateHash, why string) {
	if there.GetIndex() > g.core.Table().Index() {
		g.told = told{there, why}
		return
	}
	if here := g.core.StateAt(there.GetIndex()); here != nil && len(there.GetRefs()) > 0 && !replica.SameState(here, there) {
		g.differs(there.GetIndex(), why)
	}
}

// told is what a member's table was at an index that is still to come here.
type told struct {
	state *wire.StateHash
	why   string
}

// reached compares with what was told before.
func (g *group) reached() {
	if t := g.told; t.state != nil && t.state.GetIndex() <= g.core.Table().Index() {
		g.told = told{}
		g.compare(t.state, t.why)
	}
}

// inquire goes on until it is clear who is damaged. index is where a difference was seen.
func (g *group) inquire(index uint64) {
	for pause := inquiryPause; ; pause = min(2*pause, retryMax) {
		v, err := g.poll(g.n.ctx, index)
		if err != nil {
			return // the node stops
		}
		switch replica.Judge(v.members, v.same, v.other) {
		case replica.Right:
			g.n.post(func() { g.inquiring, g.doubt = false, nil })
			return
		case replica.Wrong:
			g.damaged(fmt.Errorf("the table here is not that of %d of the %d replicas (index %d): this disk changed it, or a hand in the database", v.other, v.members, v.index))
			return
		}
		if missing := g.missingTips(g.n.ctx); len(missing) > 0 {
			g.damaged(fmt.Errorf("the table here is not that of another replica (index %d), and names objects that are not here (%s first): this disk changed it, or a hand in the database", v.index, missing[0]))
			return
		}
		g.n.post(func() { g.doubt = v.undecided() })
		select {
		case <-time.After(pause):
		case <-g.n.ctx.Done():
			return
		}
	}
}

// damaged takes this replica out for good: it must not come back with this table.
func (g *group) damaged(err error) {
	g.n.post(func() {
		g.inquiring, g.doubt = false, nil
		g.loseSeat(err)
	})
}

// missingTips finds what the table names and the repository lacks. A table that
// rotted names what never was; so this may tell where too few answer.
func (g *group) missingTips(ctx context.Context) []git.OID {
	type tips struct {
		index uint64
		refs  []*wire.Ref
	}
	t, err := ask(ctx, g.n, func() tips { return tips{g.core.Table().Index(), g.core.Table().Refs()} })
	if err != nil || g.pub.wait(ctx, t.index) != nil {
		return nil
	}
	var wanted, missing []git.OID
	for _, r := range t.refs {
		if oid, err := git.FromBytes(r.GetOid()); err == nil {
			wanted = append(wanted, oid)
		}
	}
	have, err := g.repo.Objects(ctx, wanted)
	if err != nil {
		return nil
	}
	for _, oid := range wanted {
		if _, ok := have[oid]; !ok {
			missing = append(missing, oid)
		}
	}
	return missing
}

// voices is what the other members said about their tables.
type voices struct {
	members, same, other int
	index                uint64
}

func (v voices) undecided() error {
	return fmt.Errorf("%d of the %d replicas have the table of this one, %d have another, and the rest does not answer: nobody can say which one is damaged (index %d)",
		v.same+1, v.members, v.other, v.index)
}

// poll asks all other members once. What they had before index says nothing.
func (g *group) poll(ctx context.Context, index uint64) (voices, error) {
	mine, err := ask(ctx, g.n, func() *wire.StateHash { return g.core.Table().State() })
	if err != nil {
		return voices{}, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	voters := g.members().Voters()
	v := voices{members: len(voters), index: mine.GetIndex()}
	if !slices.ContainsFunc(voters, func(m replica.Member) bool { return m.Peer == g.n.self }) {
		v.same = -1 // this one has no voice, only an opinion
	}
	for _, m := range voters {
		if m.Peer == g.n.self {
			continue
		}
		wg.Go(func() {
			here, there := g.stateOf(ctx, m.Peer, mine)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case here == nil || there == nil || there.GetIndex() < index:
			case replica.SameState(here, there):
				v.same++
			default:
				v.other++
			}
		})
	}
	wg.Wait()
	return v, ctx.Err()
}

// stateOf asks a member for its table's state at the index of mine, or at one
// that both know.
func (g *group) stateOf(ctx context.Context, p identity.PeerID, mine *wire.StateHash) (here, there *wire.StateHash) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	r, err := g.n.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: g.genesis.Repo[:], State: mine}}})
	if err != nil || r.GetWhere().GetProblem() != "" {
		return nil, nil
	}
	if then := r.GetWhere().GetThen(); then.GetIndex() == mine.GetIndex() {
		return mine, then
	}
	there = r.GetWhere().GetState()
	here, err = ask(ctx, g.n, func() *wire.StateHash { return g.core.StateAt(there.GetIndex()) })
	if err != nil {
		return nil, nil
	}
	return here, there
}

// remembered is why this replica left its group in an earlier life.
func (g *group) remembered() (error, error) {
	text, ok, err := g.n.cfg.Store.Get(leftKey(g.genesis.Repo))
	if err != nil || !ok || len(text) == 0 {
		return nil, err
	}
	return &lossError{errors.New(string(text))}, nil
}

// tableAgrees refuses a snapshot whose table is not that of the other members:
// a damaged one must not spread. Members that don't answer have no voice.
func (g *group) tableAgrees(ctx context.Context, table *wire.TableSnapshot, from identity.PeerID) error {
	theirs := replica.StateOf(table.GetMeta())
	for _, m := range g.members().Voters() {
		if m.Peer == g.n.self || m.Peer == from || !g.n.cfg.Network.IsConnected(m.Peer) {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, probeTimeout)
		r, err := g.n.tell(asking, m.Peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: g.genesis.Repo[:], State: theirs}}})
		cancel()
		if then := r.GetWhere().GetThen(); err == nil && r.GetWhere().GetProblem() == "" && then.GetIndex() == theirs.GetIndex() && !replica.SameState(then, theirs) {
			return fmt.Errorf("%s has another table at %d than %s, and one of them is damaged", m.Peer, then.GetIndex(), from)
		}
	}
	return nil
}
