package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"peer/identity"
	"peer/node/control"
	"peer/node/control/pb"
)

type idRotateCmd struct {
	File    string `arg:"" optional:"" help:"The new key, as for peer id import; by default one is made."`
	Agent   bool   `help:"The new private key is in your ssh-agent, and stays there."`
	Encrypt bool   `help:"Encrypt the new key with a passphrase."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

// rotatedJSON is part of the contract with scripts.
type rotatedJSON struct {
	DID     string   `json:"did"`
	Former  string   `json:"former"`
	Rekeyed []string `json:"rekeyed"` // URLs
	Left    []string `json:"left"`    // URLs, or IDs: where the former key has its place still
}

// Run gives the user of this home another key, and has it take the place of the one
// before wherever that is known to have a role. The home changes first: whatever goes
// wrong later, both keys are there, and peer repo rekey goes on.
func (c *idRotateCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	before, err := home.userKey()
	if err != nil {
		return err
	}
	next, err := c.newKey(home, before)
	if err != nil {
		return err
	}
	if next.public == before.Public || home.wasMine(next.public) {
		return hinted(fmt.Errorf("%s is your key, or was", next.public.DID()), "a new one is made by: peer id rotate")
	}
	old := home.signerOf(before)
	if err := unlock(old); err != nil { // nothing has changed yet
		return err
	}
	found, err := a.reposOfMine(ctx, before.Public, old)
	if err != nil {
		return err
	}
	if ctx.Err() != nil { // not all were asked
		return ctx.Err()
	}
	if err := home.noteFormer(before.Public, found.founded); err != nil {
		return err
	}
	if err := home.setUserKey(before, next); err != nil {
		return err
	}
	said := rotatedJSON{DID: next.public.DID(), Former: before.Public.DID(), Rekeyed: []string{}, Left: slices.Clone(found.unknown)}
	for _, id := range slices.SortedFunc(maps.Keys(found.mine), func(x, y identity.RepoID) int { return strings.Compare(x.String(), y.String()) }) {
		url := found.mine[id]
		commit, err := a.rekey(ctx, RepoRef{ID: id}, old, next.signer)
		for _, w := range commit.GetWarnings() {
			warn(a.errs, "%s: %s", url, w)
		}
		if err != nil && !errors.Is(err, errNoFormer) {
			warn(a.errs, "%s still knows your former key: %v", url, err)
			said.Left = append(said.Left, url)
			continue
		}
		said.Rekeyed = append(said.Rekeyed, url)
	}
	return said.tell(a, c.JSON)
}

func (r rotatedJSON) tell(a *app, asJSON bool) error {
	var err error
	if asJSON {
		err = printJSON(a.out, r)
	} else {
		err = table(a.out, func(line func(string, ...any)) {
			line("DID\t%s", r.DID)
			line("former\t%s", r.Former)
			for _, url := range r.Rekeyed {
				line("rekeyed\t%s", url)
			}
			for _, repo := range r.Left {
				line("left\t%s", repo)
			}
		})
	}
	if err == nil && len(r.Left) > 0 {
		err = hinted(fmt.Errorf("you have a new key, and %d repositories could not be told", len(r.Left)),
			"tell each when its replicas answer: peer repo rekey "+r.Left[0])
	}
	return err
}

// newKey is the key that is to come: made here, or the user's own.
func (c *idRotateCmd) newKey(home *Home, before userKey) (newUserKey, error) {
	switch {
	case c.Agent && c.Encrypt:
		return newUserKey{}, usage("a key in an agent is copied nowhere", "--encrypt and --agent exclude each other")
	case c.Agent:
		return keyInAgent(c.File)
	case c.File != "":
		return keyInFile(home, c.File, c.Encrypt || before.Place == inSealed)
	case before.Place == inAgent:
		return newUserKey{}, usage("peer id rotate --agent FILE.pub, or peer id rotate FILE", "your key is in an ssh-agent: name the new one")
	}
	key, err := identity.NewKey()
	if err != nil {
		return newUserKey{}, err
	}
	var passphrase []byte
	if c.Encrypt || before.Place == inSealed {
		if passphrase, err = home.newPassphrase(); err != nil {
			return newUserKey{}, err
		}
		defer clear(passphrase)
	}
	raw, err := identity.MarshalPrivateKey(key, "", passphrase)
	return newUserKey{public: key.Public(), signer: key, file: keyFile, raw: raw}, err
}

// mine is what is known of the repositories of a key.
type mine struct {
	mine    map[identity.RepoID]string // URL of each where it has a role
	unknown []string                   // IDs of those that nobody could be asked about
	founded []string                   // names of those that it founded
}

// reposOfMine asks about every repository that this home has met or holds.
func (a *app) reposOfMine(ctx context.Context, key identity.PublicKey, by identity.Signer) (mine, error) {
	found := mine{mine: map[identity.RepoID]string{}}
	met, err := pins{a.home.Dir}.read()
	if err != nil {
		return found, err
	}
	ids := map[string]string{} // names
	for id, p := range met.Repos {
		ids[id] = p.Name
	}
	if node, err := a.home.Dial(ctx); err == nil {
		held, err := node.ListRepos(ctx, &pb.ListReposRequest{})
		_ = node.Close()
		if err != nil {
			return found, err
		}
		for _, r := range held.GetRepos() {
			if ids[r.GetId()] = r.GetName(); r.GetRemovedUnixMs() != 0 {
				delete(ids, r.GetId())
			}
		}
	} else if !errors.Is(err, control.ErrNotRunning) {
		return found, err
	}
	for _, spelled := range slices.Sorted(maps.Keys(ids)) {
		id, err := identity.ParseRepoID(spelled)
		if err != nil {
			continue // nothing that this program wrote
		}
		if identity.NewRepoID(key, ids[spelled]) == id {
			found.founded = append(found.founded, ids[spelled])
		}
		var shown *pb.Repo
		err = a.waysAs(ctx, by, func(ctx context.Context, w repoAPI) (err error) {
			shown, err = w.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: spelled})
			return err
		})
		switch {
		case err != nil || shown.GetPolicy() == nil:
			warn(a.errs, "%s (%s) could not be asked who may do what there: %v", tidy(ids[spelled]), spelled, err)
			found.unknown = append(found.unknown, spelled)
		case holds(roleIn(shown, key)) && shown.GetRemovedUnixMs() == 0:
			found.mine[id] = shown.GetUrl()
		}
	}
	return found, nil
}
