package cmd

import (
	"errors"
	"fmt"
	"strings"

	"peer/identity"
)

// RepoRef is a repository that a command line names. Address is nil where only
// an ID was given, which doesn't tell owner and name.
type RepoRef struct {
	ID      identity.RepoID
	Address *identity.Address
}

// String is the spelling for the control API: it no longer depends on petnames
// or on whose home it is.
func (r RepoRef) String() string {
	if r.Address != nil {
		return r.Address.URL()
	}
	return r.ID.String()
}

// ResolveRepo reads REPO: NAME of one's own, OWNER/NAME, a peer:// URL, or a
// repository ID. OWNER is a did:key, a peer ID, a petname, or me.
func (h *Home) ResolveRepo(arg string) (RepoRef, error) {
	if id, err := identity.ParseRepoID(arg); err == nil {
		return RepoRef{ID: id}, nil
	}
	address, err := h.resolveAddress(arg)
	if err != nil {
		return RepoRef{}, h.explainRepo(arg, err)
	}
	return RepoRef{ID: address.RepoID(), Address: &address}, nil
}

func (h *Home) resolveAddress(arg string) (identity.Address, error) {
	switch {
	case strings.HasPrefix(arg, identity.URLScheme):
		return h.ParseURL(arg)
	case strings.Contains(arg, "/"):
		address, err := identity.ParseOwnerAndName(arg, h.ExpandOwner)
		if err != nil {
			return address, err
		}
		return h.founder(address)
	}
	name := strings.TrimSuffix(arg, ".git")
	if err := identity.CheckName(name); err != nil {
		return identity.Address{}, err
	}
	key, err := h.Me()
	if err != nil {
		return identity.Address{}, err
	}
	return h.founder(identity.Address{Owner: key, Name: name})
}

// ParseURL reads a peer:// URL, petnames and former keys of one's own included.
func (h *Home) ParseURL(url string) (identity.Address, error) {
	address, err := identity.ParseURL(url, h.ExpandOwner)
	if err != nil {
		return address, err
	}
	return h.founder(address)
}

func (h *Home) explainRepo(arg string, err error) error {
	var f *fault
	if errors.As(err, &f) {
		return err
	}
	if strings.Contains(arg, "://") && !strings.HasPrefix(arg, identity.URLScheme) {
		err = fmt.Errorf("%.200q is not a %s URL", arg, identity.URLScheme)
	}
	return usage("a repository is NAME (your own), OWNER/NAME, a peer:// URL or an ID of 64 digits", "%w", err)
}

// ExpandOwner turns a petname, or me, into a key.
func (h *Home) ExpandOwner(petname string) (identity.PublicKey, error) {
	if petname == aliasMe {
		return h.Me()
	}
	aliases, err := h.Aliases()
	if err != nil {
		return identity.PublicKey{}, err
	}
	did, ok := aliases[petname]
	if !ok {
		return identity.PublicKey{}, &fault{
			err:  fmt.Errorf("nobody is called %.80q here", petname),
			hint: "an owner is a did:key, a peer ID, 'me', or a petname that you gave: peer id alias NAME OWNER",
			exit: exitNotFound,
		}
	}
	return identity.ParseOwner(did)
}

// ParseOwner reads OWNER: a did:key, a peer ID, a petname, or me.
func (h *Home) ParseOwner(s string) (identity.PublicKey, error) {
	key, err := identity.ParseOwner(s)
	switch {
	case err == nil:
		return key, nil
	case strings.HasPrefix(s, "did:"):
		return key, usage("an owner is a did:key, a peer ID, 'me', or a petname", "%w", err)
	}
	return h.ExpandOwner(s)
}
