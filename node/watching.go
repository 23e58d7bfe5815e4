package node

import (
	"context"
	"time"

	"peer/identity"
)

// watchEvery is how often a node that is watched looks who takes part. Nobody
// looks while nobody watches.
const watchEvery = time.Second

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
					events = append(events, Event{
						Repo: g.genesis.Repo, Kind: EventMember, Leader: g.leader.of, Term: term, Index: g.core.Table().Index(),
						Peer: peer, Detail: word, At: time.Now(),
					})
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
