package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

const (
	// replaceTries is how often a change of keys is signed anew because somebody else
	// changed the policy meanwhile.
	replaceTries = 3
	// replaceTimeout bounds one repository's part.
	replaceTimeout = 30 * time.Second
)

// waysAs tries what is to be done in the name of a key: through the node first, and by
// itself where no node runs. A node looks for private repositories in the name of its
// user, who may have another key by now.
func (a *app) waysAs(ctx context.Context, by identity.Signer, do func(context.Context, repoAPI) error) error {
	if err := unlock(by); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, replaceTimeout)
	defer cancel()
	err := a.wayAs(limited, by, do)
	if err != nil && ctx.Err() != nil && exitCode(err) != exitUnknown {
		return ctx.Err() // a search that is interrupted finds nothing
	}
	return err
}

func (a *app) wayAs(ctx context.Context, by identity.Signer, do func(context.Context, repoAPI) error) error {
	running, err := a.home.Dial(ctx)
	if err == nil {
		err = do(ctx, running)
		_ = running.Close()
		var refused *control.Error
		if !errors.As(err, &refused) || refused.Code != wire.FailureCode_FAILURE_NOT_FOUND {
			return err
		}
	} else if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	alone, lerr := dialLone(ctx, a.home, by)
	if lerr != nil {
		return err // of the node, which the person can start, or which has looked
	}
	defer alone.Close()
	if rerr := alone.awaitNetwork(ctx); rerr != nil {
		if running == nil {
			err = rerr
		}
		return err
	}
	return do(ctx, alone)
}

// kept lends out a way that somebody else closes.
type kept struct{ repoAPI }

func (kept) Close() error { return nil }

// replaceKey has the log of a repository take a replacement of a key, which what makes
// of the policy; nil: there is nothing to do, and nothing is committed.
func (a *app) replaceKey(ctx context.Context, repo RepoRef, by identity.Signer, what func(*replica.Genesis, *pb.Repo) (*wire.ReplaceKey, error)) (commit *pb.Commit, err error) {
	err = a.waysAs(ctx, by, func(ctx context.Context, w repoAPI) error {
		for try := 1; ; try++ {
			done, err := a.replaceOnce(ctx, w, repo, by, what)
			if err != nil || done == nil {
				return err
			}
			err = node.RefusalOf(done.Outcome)
			if err == nil {
				commit = a.home.keepCommit(ctx, done)
				return nil
			}
			if !done.Stale() || try == replaceTries {
				return asRefusal(err)
			}
		}
	})
	return commit, err
}

func (a *app) replaceOnce(ctx context.Context, w repoAPI, repo RepoRef, by identity.Signer, what func(*replica.Genesis, *pb.Repo) (*wire.ReplaceKey, error)) (*replica.Done, error) {
	shown, err := w.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo.ID.String()})
	if err != nil {
		return nil, err
	}
	address, err := identity.ParseURL(shown.GetUrl(), nil)
	switch {
	case err != nil || address.RepoID() != repo.ID:
		return nil, fmt.Errorf("repository %s: nobody can tell what it is", repo.ID)
	case shown.GetPolicy() == nil:
		return nil, &control.Error{Code: wire.FailureCode_FAILURE_VERSION, Message: "whoever leads " + shown.GetName() + " runs an older peer, which knows no roles", Hint: "upgrade its nodes"}
	}
	c := &client{address: address, user: by, pins: pins{a.home.Dir}, dial: func(context.Context) (dialer, error) { return kept{w}, nil }}
	defer c.Close()
	p := patience{total: callTimeout}
	s, err := openPatiently(ctx, c, wire.Intent_INTENT_PUSH, p, func(s *session) error {
		_, err := s.refs()
		return err
	})
	if err != nil {
		return nil, err
	}
	replacement, err := what(s.genesis, shown)
	if err != nil || replacement == nil {
		s.abort()
		return nil, err
	}
	d, err := newDelivery(c, s.genesis, s.welcome.GetIndex(), true, []*wire.Operation{{Kind: &wire.Operation_ReplaceKey{ReplaceKey: replacement}}}, nil)
	if err != nil {
		s.abort()
		return nil, err
	}
	d.patience, d.say = p, &remoteText{w: a.errs, options: &remoteOptions{}}
	done, err := d.send(ctx, s)
	var unknown *unknownOutcome
	if errors.As(err, &unknown) {
		return nil, hinted(unknown, "type the same again: it does nothing where it happened after all")
	}
	return done, err
}

// roleIn is the role of a key in a repository as a node shows it; empty: none.
func roleIn(r *pb.Repo, key identity.PublicKey) string {
	for _, g := range r.GetPolicy().GetGrants() {
		if g.GetKey() == key.DID() {
			return g.GetRole()
		}
	}
	return ""
}

// revokedRole is what [replica.AccessName] calls the role of a revoked key.
var revokedRole = replica.AccessName(wire.Access_ACCESS_REVOKED)

// holds says whether a role is one to hand on.
func holds(role string) bool { return role != "" && role != revokedRole }

// revoke revokes a key in a repository, in the name of this home's user. What is revoked
// stays so: then there is nothing to do.
func (a *app) revoke(ctx context.Context, repo RepoRef, key identity.PublicKey) (*pb.Commit, error) {
	by, err := a.home.User()
	if err != nil {
		return nil, err
	}
	return a.replaceKey(ctx, repo, by, func(_ *replica.Genesis, shown *pb.Repo) (*wire.ReplaceKey, error) {
		if roleIn(shown, key) == revokedRole {
			return nil, nil
		}
		return &wire.ReplaceKey{OldVersion: shown.GetPolicy().GetVersion(), Old: key[:]}, nil
	})
}

// errNoFormer says that a repository knows no former key of this home's.
var errNoFormer = errors.New("none of the keys that you had before has a role there")

// rekey has a key take the place of an older one in a repository.
func (a *app) rekey(ctx context.Context, repo RepoRef, old, successor identity.Signer) (*pb.Commit, error) {
	had, found := old.Public(), false
	commit, err := a.replaceKey(ctx, repo, old, func(g *replica.Genesis, shown *pb.Repo) (*wire.ReplaceKey, error) {
		if !holds(roleIn(shown, had)) {
			return nil, nil
		}
		found = true
		return g.Replacement(had, successor, shown.GetPolicy().GetVersion())
	})
	if err == nil && !found {
		err = errNoFormer
	}
	return commit, err
}
