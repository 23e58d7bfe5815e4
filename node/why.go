package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Reason is something about a group that its people should know.
type Reason struct {
	What, Hint string
	Refuses    bool // a push would be refused for it
}

// Why asks every member about a repository, and says who leads, who lags or is
// silent, and why a push by this home would be refused now.
func (c *Client) Why(ctx context.Context, repo identity.RepoID) (Info, []Reason, error) {
	g, err := c.locate(ctx, repo)
	if err != nil {
		return Info{}, nil, err
	}
	peers := c.everyone(g)
	seen := make([]*wire.RepoState, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			errs[i] = c.converse(ctx, g, p, probeTimeout, func(h *wire.Hello) { h.Intent = wire.Intent_INTENT_SHOW }, func(m *wire.ToClient) (bool, error) {
				seen[i] = m.GetState()
				return seen[i] != nil, nil
			})
		})
	}
	wg.Wait()
	w := why{c: c, g: g, said: map[identity.PeerID]*wire.RepoState{}, errs: map[identity.PeerID]error{}}
	for i, p := range peers {
		w.said[p], w.errs[p] = seen[i], errs[i]
	}
	return w.info(), w.reasons(), nil
}

// why is what all members said.
type why struct {
	c    *Client
	g    *replica.Genesis
	said map[identity.PeerID]*wire.RepoState // nil where it did not answer
	errs map[identity.PeerID]error
}

// best is the word of the leader, or of who knows most.
func (w *why) best() (best *wire.RepoState, of identity.PeerID) {
	for p, s := range w.said {
		leads := s != nil && s.GetProblem() == "" && string(s.GetLeader()) == string(p)
		if leads && (best == nil || s.GetTerm() > best.GetTerm() || string(best.GetLeader()) != string(of)) {
			best, of = s, p
			continue
		}
		if s != nil && (best == nil || string(best.GetLeader()) != string(of) && s.GetIndex() > best.GetIndex()) {
			best, of = s, p
		}
	}
	return best, of
}

func (w *why) info() Info {
	best, _ := w.best()
	if best == nil {
		return Info{Genesis: w.g}
	}
	return infoOf(w.g, best, "")
}

func (w *why) reasons() (list []Reason) {
	best, of := w.best()
	if best == nil {
		list = append(list, Reason{What: "no replica answers", Hint: "start one of its nodes: peer node", Refuses: true})
		for p, err := range w.errs {
			list = append(list, Reason{What: fmt.Sprintf("%s: %s", p, errWord(err))})
		}
		return list
	}
	leads := string(best.GetLeader()) == string(of) && best.GetProblem() == ""
	if leads {
		list = append(list, Reason{What: fmt.Sprintf("%s leads, in term %d, at index %d", of, best.GetTerm(), best.GetIndex())})
		if f := best.GetRefuses(); f != nil {
			list = append(list, Reason{What: f.GetMessage(), Hint: f.GetHint(), Refuses: true})
		}
	}
	if best.GetPlan() != "" {
		list = append(list, Reason{What: "members: " + best.GetPlan()})
	}
	answering, total := 0, 0
	for _, r := range best.GetReplicas() {
		votes := r.GetRole() == wire.Role_ROLE_VOTER || r.GetRole() == wire.Role_ROLE_INCOMING
		p := identity.PeerID(r.GetPeer())
		reason, ok := w.about(p, r, best)
		if votes {
			total++
		}
		if ok && votes {
			answering++
		}
		if reason.What != "" {
			list = append(list, reason)
		}
	}
	list = append(list, w.rulesAgainst(best.GetPolicy())...)
	if !leads {
		what, hint := fmt.Sprintf("no leader: %d of %d replicas answer, a push needs %d", answering, total, total/2+1), "start the silent nodes, then push again"
		if answering > total/2 {
			what, hint = fmt.Sprintf("no leader yet, though %d of %d replicas answer", answering, total), "an election takes a moment; ask again"
		}
		list = append([]Reason{{What: what, Hint: hint, Refuses: true}}, list...)
	}
	return list
}

// about says what is wrong with one replica, and whether it answers.
func (w *why) about(p identity.PeerID, r *wire.ReplicaState, best *wire.RepoState) (Reason, bool) {
	said, asked := w.said[p], w.errs[p]
	failed := new(FailureError)
	switch {
	case said.GetProblem() != "":
		return Reason{What: fmt.Sprintf("%s takes no part: %s", p, said.GetProblem()), Hint: "on that machine: peer why " + w.g.Name + ", and peer verify " + w.g.Name}, false
	case said == nil && errors.As(asked, &failed):
		return Reason{What: fmt.Sprintf("%s: %s", p, failed.F.GetMessage()), Hint: failed.F.GetHint()}, false
	case said == nil:
		what := fmt.Sprintf("%s does not answer", p)
		if since := w.c.lastHeard(p); !since.IsZero() {
			what += fmt.Sprintf(", since %s (%s)", since.Local().Format(time.TimeOnly), time.Since(since).Round(time.Second))
		}
		return Reason{What: what, Hint: "start it, or see whether its machine is reachable"}, false
	case said.GetAils() != "":
		return Reason{What: fmt.Sprintf("%s is not in sync: %s", p, said.GetAils()), Hint: "pushes and fetches go on with the others; see: peer verify " + w.g.Name}, true
	case best.GetIndex() > said.GetIndex():
		return Reason{What: fmt.Sprintf("%s is %d entries behind, at index %d", p, best.GetIndex()-said.GetIndex(), said.GetIndex())}, true
	case !r.GetInSync() && len(best.GetLeader()) > 0:
		return Reason{What: fmt.Sprintf("%s answers, and the leader does not count it as in sync yet", p)}, true
	}
	return Reason{}, true
}

func errWord(err error) string {
	if err == nil {
		return "no answer"
	}
	return err.Error()
}

// lastHeard is zero where this process does not know.
func (c *Client) lastHeard(p identity.PeerID) time.Time {
	if c.here == nil {
		return time.Time{}
	}
	return c.here.lastHeard(p)
}

// refusesPush says what a push by this user would be told here now, if anything.
func (s *session) refusesPush(ctx context.Context) (*wire.Failure, error) {
	type answer struct {
		err     error
		refused *wire.Result
		lock    *wire.Lock
	}
	a, err := ask(ctx, s.n, func() answer {
		t := s.g.core.Table()
		user := s.user
		tx := &wire.Transaction{ // one that lacks nothing but a permission
			Genesis: s.g.genesis.Hash[:], Signer: user[:], Id: make([]byte, replica.TransactionIDBytes), Base: t.Index(), Window: 1,
			Operations: []*wire.Operation{{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{}}}}, // any that no rule is about
		}
		return answer{errors.Join(s.g.problem, s.g.doubt), t.Courtesy(user, tx), t.HeldLock()}
	})
	if err != nil {
		return nil, err
	}
	const safe = "nothing was changed"
	switch owner, _ := identity.ParsePublicKey(a.lock.GetOwner()); {
	case a.err != nil:
		return failure(wire.FailureCode_FAILURE_NO_QUORUM, withoutPaths(a.err), safe+"; peer verify "+s.g.genesis.Name).F, nil
	case a.refused != nil:
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, a.refused.GetDetail(), s.g.grantHint(s.user)).F, nil
	case a.lock != nil && owner != s.user:
		what := fmt.Sprintf("locked by %s until %s", owner.DID(), time.UnixMilli(a.lock.GetExpiresUnixMs()).Local().Format(time.DateTime))
		if a.lock.GetReason() != "" {
			what += ": " + clip(a.lock.GetReason(), 200)
		}
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, what, fmt.Sprintf("wait, or have an owner or a maintainer take it: peer repo unlock %s --token %d", s.g.genesis.Name, a.lock.GetToken())).F, nil
	}
	in := &intake{g: s.g}
	defer in.end()
	if err := in.begin(); err != nil {
		return failureOf(err), nil
	}
	return nil, nil
}
