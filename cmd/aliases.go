package cmd

import (
	"fmt"
	"strings"

	"peer/identity"
)

// aliasMe is the home's own key.
const aliasMe = "me"

// Limits of petnames.
const (
	aliasBytesMax = 64
	aliasesMax    = 10_000
)

// Aliases are the petnames of this home: the did:key of each.
func (h *Home) Aliases() (map[string]string, error) {
	aliases := map[string]string{}
	if err := readJSON(h.aliasesPath(), &aliases); err != nil {
		return nil, fmt.Errorf("petnames: %w", err)
	}
	return aliases, nil
}

func (h *Home) aliasesPath() string { return h.path("aliases.json") }

// SetAlias gives key a petname. A petname that another key has is refused
// unless move is set: whoever took it over would be taken for the other.
func (h *Home) SetAlias(petname string, key identity.PublicKey, move bool) error {
	if err := checkAlias(petname); err != nil {
		return err
	}
	return h.changeAliases(func(aliases map[string]string) error {
		had, taken := aliases[petname]
		if taken && had != key.DID() && !move {
			return hinted(fmt.Errorf("%s already stands for %s", petname, had), "add --force to give the name to another key")
		}
		if !taken && len(aliases) >= aliasesMax {
			return fmt.Errorf("there are %d petnames already, the most that a home keeps", len(aliases))
		}
		aliases[petname] = key.DID()
		return nil
	})
}

// RemoveAlias forgets a petname.
func (h *Home) RemoveAlias(petname string) error {
	return h.changeAliases(func(aliases map[string]string) error {
		if _, ok := aliases[petname]; !ok {
			return &fault{err: fmt.Errorf("nobody is called %.80q here", petname), hint: "see all: peer id alias", exit: exitNotFound}
		}
		delete(aliases, petname)
		return nil
	})
}

// changeAliases reads, changes and replaces the file under a lock.
func (h *Home) changeAliases(change func(map[string]string) error) error {
	lock, err := flock(h.path("aliases.lock"), true)
	if err != nil {
		return fmt.Errorf("petnames: %w", err)
	}
	defer lock.Close()
	aliases, err := h.Aliases()
	if err != nil {
		return err
	}
	if err := change(aliases); err != nil {
		return err
	}
	if err := writeJSON(h.aliasesPath(), aliases); err != nil {
		return fmt.Errorf("petnames: %w", err)
	}
	return nil
}

// checkAlias says what is wrong with a petname.
func checkAlias(name string) error {
	bad := func(why string) error {
		return usage("a petname is up to 64 of A-Z a-z 0-9 . _ - and begins with a letter or digit", "petname %.80q %s", name, why)
	}
	_, notOwner := identity.ParseOwner(name)
	switch {
	case strings.EqualFold(name, aliasMe):
		return bad("is reserved: it stands for your own key")
	case strings.HasPrefix(strings.ToLower(name), "did:"), notOwner == nil, strings.HasPrefix(name, "12D3KooW"):
		return bad("is reserved: it reads as a key")
	case len(name) > aliasBytesMax:
		return bad("is too long")
	case !isAlias(name):
		return bad("has other characters than a petname may have")
	}
	return nil
}

// isAlias says whether name has only characters that a URL and a shell leave alone.
func isAlias(name string) bool {
	return name != "" && !strings.ContainsRune("._-", rune(name[0])) && !strings.ContainsFunc(name, func(r rune) bool {
		letter := r|0x20 >= 'a' && r|0x20 <= 'z'
		return r >= 0x80 || !letter && !(r >= '0' && r <= '9') && !strings.ContainsRune("._-", r)
	})
}
