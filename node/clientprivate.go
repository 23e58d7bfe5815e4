package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Limits of a search for a repository that may be private: whoever is asked hears who
// asks, and for what.
const (
	signedAsksMax = 32
	signedAtOnce  = 4
	signedTimeout = 5 * time.Second
)

// askSigned asks connected nodes in the name of this client's key. The hello names the
// node that it is for, so that nobody can pass the question on as their own.
func (c *Client) askSigned(ctx context.Context, repo identity.RepoID) *replica.Genesis {
	ctx, cancel := context.WithTimeout(ctx, signedTimeout)
	defer cancel()
	places := make(chan struct{}, signedAtOnce)
	connected := c.net.Connected()
	return firstToKnow(ctx, connected[:min(len(connected), signedAsksMax)], func(ctx context.Context, p identity.PeerID) (*replica.Genesis, error) {
		leave, err := admit(ctx, places)
		if err != nil {
			return nil, err
		}
		defer leave()
		return c.askSignedAt(ctx, p, repo)
	})
}

func (c *Client) askSignedAt(ctx context.Context, p identity.PeerID, repo identity.RepoID) (g *replica.Genesis, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	err = c.converse(ctx, &replica.Genesis{Repo: repo}, p, probeTimeout, func(h *wire.Hello) {
		h.Intent, h.Genesis = wire.Intent_INTENT_SHOW, nil
	}, func(m *wire.ToClient) (last bool, err error) {
		state := m.GetState()
		if state == nil {
			return false, nil
		}
		if g, err = replica.ParseGenesis(state.GetGenesis()); err == nil && g.Repo != repo {
			err = errors.New("genesis of another repository")
		}
		if err == nil {
			c.noteLineage(g, state.GetLineage())
		}
		return true, err
	})
	return g, err
}

// leaderAt asks a member who leads. Of a private repository only a session may tell.
func (c *Client) leaderAt(ctx context.Context, g *replica.Genesis, p identity.PeerID) (identity.PeerID, error) {
	if !g.Private {
		at, err := c.whereAt(ctx, p, g.Repo)
		return identity.PeerID(at.GetLeader()), err
	}
	info, err := c.showAt(ctx, g, p)
	if err == nil && info.Problem != "" {
		err = failure(wire.FailureCode_FAILURE_BUSY, "that replica takes no part in its group: "+info.Problem, "ask another member")
	}
	return info.Leader, err
}

// errNoReplica says that no member answers as asked, and why the last one did not. Who
// may not know of a private repository hears what everybody hears.
func errNoReplica(g *replica.Genesis, last error) error {
	var refused *FailureError
	if g.Private && errors.As(last, &refused) && refused.F.GetCode() == wire.FailureCode_FAILURE_NOT_FOUND {
		return errNotFound(g.Repo)
	}
	if errors.Is(last, identity.ErrLocked) {
		return explainLocked(last) // nobody was asked
	}
	return failure(wire.FailureCode_FAILURE_NO_QUORUM, fmt.Sprintf("no replica of %s answers: %v", g.Name, last), "start one of its nodes, then try again")
}
