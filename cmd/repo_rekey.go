package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"peer/identity"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

type repoRekeyCmd struct {
	Repo string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
}

// Run has the user's key take the place of one that it had before, where peer id rotate
// could not.
func (c *repoRekeyCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	repo, err := home.ResolveRepo(c.Repo)
	if err != nil {
		return err
	}
	f, err := home.former()
	if err != nil {
		return err
	}
	if len(f.Keys) == 0 {
		return hinted(errors.New("you never had another key in this home"), "take another one: peer id rotate")
	}
	user, err := home.User()
	if err != nil {
		return err
	}
	last := errNoFormer
	for _, did := range slices.Backward(f.Keys) {
		key, err := identity.ParseOwner(did)
		if err != nil {
			return fmt.Errorf("%s: %w", formerFile, err)
		}
		old, err := home.formerSigner(key)
		var commit *pb.Commit
		if err == nil {
			commit, err = a.rekey(ctx, repo, old, user)
		}
		if err == nil {
			a.committed(commit, false)
			_, err = fmt.Fprintf(a.out, "%s: %s took the place of %s\n", c.Repo, user.Public().DID(), did)
			return err
		}
		// A private repository is not there for a key that has no role.
		var refused *control.Error
		if hidden := errors.As(err, &refused) && refused.Code == wire.FailureCode_FAILURE_NOT_FOUND; hidden {
			last = err
		} else if !errors.Is(err, errNoFormer) {
			return err
		}
	}
	return hinted(fmt.Errorf("%s: %w", c.Repo, last), "who has which role: peer repo show "+shellQuote(c.Repo))
}
