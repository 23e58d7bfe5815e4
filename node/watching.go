package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"peer/identity"
)

// watchEvery is how often a node that is watched looks who takes part. Nobody
// looks while nobody watches.
const watchEvery = time.Second

// Watch calls f for each event until f fails or ctx ends. A watcher that is slow
// misses some, and is told so by an [EventGap].
func (n *Node) Watch(ctx context.Context, f func(Event) error) error {
	return n.watch(ctx, func(Event) bool { return true }, nil, f)
}

// WatchCommits calls f for each commit that this node applies, until ctx ends; one that
// is slow misses some. It costs next to nothing, so that it may go on for ever.
func (n *Node) WatchCommits(ctx context.Context, f func(identity.RepoID)) error {
	w, leave := n.events.join(func(e Event) bool { return e.Kind == EventCommit })
	defer leave()
	for {
		select {
		case e := <-w.ch:
			f(e.Repository.Repo)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		}
	}
}

// WatchRepo is Watch for one repository. With since it calls f for each commit after
// that index: these come out of the log, so that one that is slow holds them up, and
// misses only what the log has forgotten.
func (n *Node) WatchRepo(ctx context.Context, repo identity.RepoID, since *uint64, f func(Event) error) error {
	want := func(e Event) bool { return e.Repository.Repo == repo && (since == nil || e.Kind != EventCommit) }
	if since == nil {
		return n.watch(ctx, want, nil, f)
	}
	ctx, cancel := context.WithCancel(ctx)
	commits := make(chan History)
	var reading sync.WaitGroup
	reading.Go(func() { n.readCommits(ctx, repo, *since, commits) })
	defer reading.Wait()
	defer cancel()
	return n.watch(ctx, want, commits, f)
}

// readCommits hands over what the log says after since, until ctx ends or that can't
// be read, which it hands over too.
func (n *Node) readCommits(ctx context.Context, repo identity.RepoID, since uint64, to chan<- History) {
	for {
		h, err := n.History(ctx, repo, since)
		h.err = err
		select {
		case to <- h:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
		since = h.Through
	}
}

// watch hands over what the hub has that is wanted, and commits where somebody reads them.
func (n *Node) watch(ctx context.Context, want func(Event) bool, commits <-chan History, f func(Event) error) error {
	w, leave := n.events.join(want)
	defer leave()
	members := time.NewTicker(watchEvery)
	defer members.Stop()
	known := map[identity.RepoID]seats{}
	ofMembers := func(e Event) error {
		if !want(e) {
			return nil
		}
		return f(e)
	}
	if err := n.watchMembers(ctx, known, ofMembers); err != nil {
		return err
	}
	for {
		var err error
		select {
		case <-members.C:
			err = n.watchMembers(ctx, known, ofMembers)
		case e := <-w.ch:
			if lost := w.lost.Swap(0); lost > 0 {
				err = f(Event{Kind: EventGap, At: time.Now(), Detail: fmt.Sprintf("%d events were left out: whoever watches is too slow", lost)})
			}
			if err == nil {
				err = f(e)
			}
		case h := <-commits:
			err = h.tell(f)
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-n.ctx.Done():
			err = context.Cause(n.ctx)
		}
		if err != nil {
			return err
		}
	}
}

// tell hands over the commits, after what is no longer known of those before.
func (h History) tell(f func(Event) error) error {
	if h.err != nil {
		return h.err
	}
	if h.Gap != nil {
		if err := f(*h.Gap); err != nil {
			return err
		}
	}
	for _, e := range h.Events {
		if e.Kind != EventCommit {
			continue
		}
		if err := f(e); err != nil {
			return err
		}
	}
	return nil
}

// seats is what a watcher last knew of one group: who answers or, where this node
// leads, who is in sync.
type seats struct {
	leading bool
	of      map[identity.PeerID]string
}

// watchMembers tells a watcher who fell silent or behind, and who came back.
func (n *Node) watchMembers(ctx context.Context, known map[identity.RepoID]seats, tell func(Event) error) error {
	var events []Event
	if _, err := ask(ctx, n, func() bool {
		for _, g := range n.allGroups() {
			now := g.seatsNow()
			before, ok := known[g.genesis.Repo]
			known[g.genesis.Repo] = now
			if !ok || before.leading != now.leading {
				continue // another view: nothing to compare with
			}
			for peer, word := range now.of {
				if was := before.of[peer]; was != "" && was != word {
					term, _ := g.core.Leading()
					events = append(events, g.event(Event{
						Kind: EventMember, Leader: g.leader.of, Term: term, Index: g.core.Table().Index(), Peer: peer, Detail: word,
					}))
				}
			}
		}
		return true
	}); err != nil {
		return err
	}
	for _, e := range events {
		if err := tell(e); err != nil {
			return err
		}
	}
	return nil
}

func (g *group) seatsNow() seats {
	state := g.core.State()
	s := seats{leading: state.Leading, of: map[identity.PeerID]string{}}
	for _, m := range state.Membership.Members {
		s.of[m.Peer] = "answers"
		if !g.n.answers(m.Peer) {
			s.of[m.Peer] = "is silent"
		}
	}
	if g.problem != nil {
		s.of[g.n.self] = "takes no part: " + g.problem.Error()
	}
	for _, p := range state.Members {
		if s.of[p.Peer] == "answers" && p.Peer != g.n.self {
			s.of[p.Peer] = map[bool]string{true: "is in sync", false: "is behind"}[p.InSync]
			if g.n.ailing(p.Peer).isDamaged(g.genesis.Repo) {
				s.of[p.Peer] = "mends its objects"
			}
		}
	}
	return s
}
