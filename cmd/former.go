package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"peer/identity"
)

const formerFile = "former.json"

// formerKeys is what a home remembers of the keys that its user had before. URLs name the
// key that founded a repository, for ever.
type formerKeys struct {
	Keys []string `json:"keys"` // did:keys, the newest last
	// Repos are the repositories that one of them founded: its did:key, by name.
	Repos map[string]string `json:"repos,omitempty"`
}

// former reads them.
func (h *Home) former() (formerKeys, error) {
	f := formerKeys{}
	if err := readJSON(h.path(formerFile), &f); err != nil {
		return f, fmt.Errorf("former keys: %w", err)
	}
	return f, nil
}

// noteFormer notes a key that its user leaves, and the names of what it founded.
func (h *Home) noteFormer(key identity.PublicKey, founded []string) error {
	f, err := h.former()
	if err != nil {
		return err
	}
	if !slices.Contains(f.Keys, key.DID()) {
		f.Keys = append(f.Keys, key.DID())
	}
	if f.Repos == nil {
		f.Repos = map[string]string{}
	}
	for _, name := range founded {
		if f.Repos[name] == "" { // the older one keeps the short name
			f.Repos[name] = key.DID()
		}
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.path(formerFile), append(raw, '\n'), 0o600)
}

// founder is the key by which a repository of one's own is named: one's own, or that
// of the time when it was founded.
func (h *Home) founder(a identity.Address) (identity.Address, error) {
	f, err := h.former()
	if err != nil || f.Repos[a.Name] == "" {
		return a, err
	}
	if me, err := h.Me(); err != nil || me != a.Owner {
		return a, err
	}
	a.Owner, err = identity.ParseOwner(f.Repos[a.Name])
	return a, err
}

// wasMine says whether a key is one that the user of this home had before.
func (h *Home) wasMine(key identity.PublicKey) bool {
	f, err := h.former()
	return err == nil && slices.Contains(f.Keys, key.DID())
}

// asidePath is where a private key is that another took the place of.
func (h *Home) asidePath(key identity.PublicKey) string {
	return h.path("user.key." + strings.TrimPrefix(key.DID(), "did:key:"))
}

// formerSigner signs with a key that the user of this home had before.
func (h *Home) formerSigner(key identity.PublicKey) (identity.Signer, error) {
	if own, err := h.Key(); err != nil || own.Public() == key {
		return own, err
	}
	u := userKey{Public: key, Place: inSealed, Path: h.asidePath(key)}
	raw, err := readKeyFile(u.Path)
	if errors.Is(err, fs.ErrNotExist) {
		u.Place = inAgent
		return h.signerOf(u), nil
	}
	if err != nil {
		return nil, err
	}
	u.key, err = identity.ParsePrivateKey(raw, nil)
	var sealed *identity.EncryptedError
	switch {
	case errors.As(err, &sealed) && sealed.Public != nil && *sealed.Public == key:
		u.raw = raw
	case err != nil:
		return nil, fmt.Errorf("%s: %w", u.Path, err)
	case u.key.Public() != key:
		return nil, fmt.Errorf("%s is another key than %s", u.Path, key.DID())
	default:
		u.Place = inFile
	}
	return h.signerOf(u), nil
}
