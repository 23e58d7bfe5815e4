package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"

	"peer/identity"
)

// A keyPlace says where the private half of the user's key is.
type keyPlace string

// All places. The names are part of the contract with scripts.
const (
	inNode   keyPlace = "node"      // the node's key is its user's too
	inFile   keyPlace = "file"      // user.key, not encrypted
	inSealed keyPlace = "encrypted" // user.key
	inAgent  keyPlace = "agent"     // an ssh-agent; user.pub says which key
)

// userKey is who the user of a home is.
type userKey struct {
	Public  identity.PublicKey
	Place   keyPlace
	Path    string
	Comment string // of a key in an agent

	raw []byte       // of an encrypted key
	key identity.Key // of one that is not, and is in no agent
}

// UserKeyPath is the private key that the user of this home brought.
func (h *Home) UserKeyPath() string { return h.path(keyFile) }

// UserPubPath is the public key of a user whose private one is in an ssh-agent.
func (h *Home) UserPubPath() string { return h.path(pubFile) }

// userKey says whose home this is. It opens nothing that is encrypted, and asks nobody.
func (h *Home) userKey() (userKey, error) {
	u, err := h.readUserKey()
	if err != nil && u.Place != inNode {
		err = fmt.Errorf("key of the user of home %s: %w", h.Dir, err)
	}
	return u, err
}

func (h *Home) readUserKey() (userKey, error) {
	u := userKey{Place: inFile, Path: h.UserKeyPath()}
	raw, err := readKeyFile(u.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return h.readUserPub()
	}
	if err != nil {
		return u, err
	}
	u.key, err = identity.ParsePrivateKey(raw, nil)
	var sealed *identity.EncryptedError
	switch {
	case errors.As(err, &sealed) && sealed.Public != nil:
		u.Place, u.Public, u.raw = inSealed, *sealed.Public, raw
		return u, nil
	case err != nil:
		return u, fmt.Errorf("%s: %w", u.Path, err)
	}
	u.Public = u.key.Public()
	return u, nil
}

func (h *Home) readUserPub() (userKey, error) {
	u := userKey{Place: inAgent, Path: h.UserPubPath()}
	raw, err := readKeyFile(u.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		u.Place, u.Path = inNode, h.KeyPath()
		u.key, err = h.Key()
		if err == nil {
			u.Public = u.key.Public()
		}
		return u, err
	case err != nil:
		return u, err
	}
	if u.Public, u.Comment, err = identity.ParseAuthorizedKey(raw); err != nil {
		return u, fmt.Errorf("%s: %w", u.Path, err)
	}
	return u, nil
}

// readKeyFile reads a key file from anywhere.
func readKeyFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, identity.KeyBytesMax+1))
}

// Me is the key by which others know the user of this home.
func (h *Home) Me() (identity.PublicKey, error) {
	u, err := h.userKey()
	return u.Public, err
}

// User signs as the user of this home, and asks for a passphrase when it first
// has to. What it fails with says what to type.
func (h *Home) User() (identity.Signer, error) {
	u, err := h.userKey()
	if err != nil {
		return nil, err
	}
	return h.signerOf(u), nil
}

func (h *Home) signerOf(u userKey) identity.Signer {
	switch u.Place {
	case inSealed:
		if h.sealed == nil || !bytes.Equal(h.sealed.user.raw, u.raw) {
			h.sealed = &sealedKey{home: h, user: u}
		}
		return h.sealed
	case inAgent:
		return agentKey{identity.AgentSigner{Socket: agentSocket(), Key: u.Public}}
	default:
		return u.key
	}
}

// unlock asks for the passphrase now where signing would, so that nothing else waits
// for it later.
func unlock(s identity.Signer) error {
	if sealed, ok := s.(*sealedKey); ok {
		return sealed.unlock()
	}
	return nil
}

func agentSocket() string { return os.Getenv("SSH_AUTH_SOCK") }

// agentKey is a key that an ssh-agent has.
type agentKey struct{ identity.AgentSigner }

// TrySign implements [identity.Signer].
func (k agentKey) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	signature, err := k.AgentSigner.TrySign(d, body)
	if err != nil {
		return nil, hinted(fmt.Errorf("your key is in an ssh-agent: %w", err),
			"see whether the agent has it: ssh-add -l; a locked one: ssh-add -X; add it: ssh-add FILE")
	}
	return signature, nil
}

// sealedKey is a key that a passphrase guards: it is opened once, at the first
// signature, and forgotten when the command ends.
type sealedKey struct {
	home *Home
	user userKey

	mu     sync.Mutex
	opened identity.Signer // nil until then
	failed error           // nobody is asked twice
}

// Public implements [identity.Signer].
func (k *sealedKey) Public() identity.PublicKey { return k.user.Public }

// TrySign implements [identity.Signer].
func (k *sealedKey) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	if err := k.unlock(); err != nil {
		return nil, err
	}
	return k.opened.TrySign(d, body)
}

// unlock opens the key. An agent that has it too spares its user the passphrase.
func (k *sealedKey) unlock() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.opened != nil || k.failed != nil {
		return k.failed
	}
	if has, _, err := identity.AgentKeys(agentSocket()); err == nil {
		for _, key := range has {
			if key.Public == k.user.Public {
				k.opened = identity.AgentSigner{Socket: agentSocket(), Key: key.Public}
				return nil
			}
		}
	}
	key, err := k.home.openKey(k.user.raw, k.user.Path)
	if err != nil {
		k.failed = err
		return err
	}
	k.opened = key
	return nil
}
