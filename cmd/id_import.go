package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"peer/identity"
	"peer/node/control/pb"
)

type idImportCmd struct {
	File    string `arg:"" optional:"" help:"An Ed25519 private key, ~/.ssh/id_ed25519 for instance; with --agent a public key, a fingerprint or a comment."`
	Agent   bool   `help:"Leave the private key in your ssh-agent, and sign through it."`
	Encrypt bool   `help:"Encrypt the copy in the home with a passphrase."`
	Force   bool   `help:"Also when the key that you have now owns repositories."`
}

// Run makes a key that its user has already the identity of this home. The node
// keeps its own: its peer ID never changes.
func (c *idImportCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	switch {
	case c.Agent && c.Encrypt:
		return usage("a key in an agent is copied nowhere", "--encrypt and --agent exclude each other")
	case !c.Agent && c.File == "":
		return usage("for instance: peer id import ~/.ssh/id_ed25519", "missing argument <file>")
	}
	before, err := home.userKey()
	if err != nil {
		return err
	}
	var incoming newUserKey
	if c.Agent {
		incoming, err = keyInAgent(c.File)
	} else {
		incoming, err = keyInFile(home, c.File, c.Encrypt)
	}
	if err != nil {
		return err
	}
	if !c.Force && incoming.public != before.Public {
		if err := a.checkHandedOver(ctx, before.Public, incoming.public); err != nil {
			return err
		}
	}
	if err := home.setUserKey(before, incoming); err != nil {
		return err
	}
	after, err := home.userKey()
	if err != nil {
		return err
	}
	return showKeys(a, after, false)
}

// newUserKey is a key that is to be the user's.
type newUserKey struct {
	public identity.PublicKey
	signer identity.Signer
	file   string // one of the two below; empty: the node's key is meant
	raw    []byte
}

const (
	keyFile = "user.key"
	pubFile = "user.pub"
)

func keyInFile(home *Home, path string, encrypt bool) (newUserKey, error) {
	raw, err := readKeyFile(path)
	if err != nil {
		return newUserKey{}, fmt.Errorf("import key: %w", err)
	}
	key, err := identity.ParsePrivateKey(raw, nil)
	var sealed *identity.EncryptedError
	if errors.As(err, &sealed) {
		// It stays encrypted as it was, where that is OpenSSH's way.
		encrypt = sealed.Public == nil
		key, err = home.openKey(raw, path)
	}
	if err != nil {
		return newUserKey{}, explainImport(path, err)
	}
	own, err := home.Key()
	if err != nil {
		return newUserKey{}, err
	}
	if key.Public() == own.Public() {
		return newUserKey{public: own.Public(), signer: own}, nil
	}
	n := newUserKey{public: key.Public(), signer: key, file: keyFile, raw: raw}
	if sealed != nil && sealed.Public != nil {
		return n, nil
	}
	var passphrase []byte
	if encrypt {
		if passphrase, err = home.newPassphrase(); err != nil {
			return n, err
		}
		defer clear(passphrase)
	}
	n.raw, err = identity.MarshalPrivateKey(key, "", passphrase)
	return n, err
}

func explainImport(path string, err error) error {
	var other *identity.KeyTypeError
	var hinting *fault
	switch {
	case errors.As(err, &hinting):
		return err
	case errors.As(err, &other):
		return hinted(fmt.Errorf("%s is %w", path, err), "peer's keys are Ed25519 keys; make one: ssh-keygen -t ed25519")
	case strings.Contains(err.Error(), "PKCS #8"):
		return hinted(fmt.Errorf("%s is %w", path, err), "take its passphrase off (openssl pkey -in FILE -out PLAIN) and import PLAIN with --encrypt")
	}
	return hinted(fmt.Errorf("%s is %w", path, err), "an Ed25519 private key of OpenSSH, or PKCS #8 in PEM; make one: ssh-keygen -t ed25519")
}

// keyInAgent finds one key of the agent's: by a .pub file, a fingerprint, or a
// comment; without any the only one that there is.
func keyInAgent(which string) (newUserKey, error) {
	keys, others, err := identity.AgentKeys(agentSocket())
	if err != nil {
		return newUserKey{}, hinted(err, "start one and add your key: eval $(ssh-agent); ssh-add")
	}
	if len(keys) == 0 {
		what := "the ssh-agent has no keys; it may be locked"
		if others > 0 {
			what = fmt.Sprintf("the ssh-agent has %d keys, and none is an Ed25519 key", others)
		}
		return newUserKey{}, hinted(errors.New(what), "unlock it: ssh-add -X; or make a key and add it: ssh-keygen -t ed25519; ssh-add")
	}
	found := keys
	if which != "" {
		is, err := agentKeyCalled(which)
		if err != nil {
			return newUserKey{}, err
		}
		found = slices.DeleteFunc(slices.Clone(keys), func(k identity.AgentKey) bool { return !is(k) })
	}
	if len(found) != 1 {
		var have []string
		for _, k := range keys {
			have = append(have, k.Public.Fingerprint()+" "+k.Comment)
		}
		what := "the ssh-agent has more than one Ed25519 key"
		if which != "" {
			what = fmt.Sprintf("%d keys of the ssh-agent are %.200s", len(found), which)
		}
		return newUserKey{}, hinted(errors.New(what), "name one of: "+strings.Join(have, ", "))
	}
	k := found[0]
	return newUserKey{public: k.Public, signer: agentKey{identity.AgentSigner{Socket: agentSocket(), Key: k.Public}}, file: pubFile, raw: []byte(k.Public.AuthorizedKey(oneLine(k.Comment)))}, nil
}

func agentKeyCalled(which string) (func(identity.AgentKey) bool, error) {
	raw, err := readKeyFile(which)
	if errors.Is(err, fs.ErrNotExist) {
		return func(k identity.AgentKey) bool { return k.Public.Fingerprint() == which || k.Comment == which }, nil
	}
	if err != nil {
		return nil, fmt.Errorf("import key: %w", err)
	}
	public, _, err := identity.ParseAuthorizedKey(raw)
	if err != nil {
		return nil, explainImport(which, err)
	}
	return func(k identity.AgentKey) bool { return k.Public == public }, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(tidy(s)), " ") }

// checkHandedOver refuses to leave repositories behind that only the old key can
// change: it must sign that the new one owns them.
func (a *app) checkHandedOver(ctx context.Context, old, incoming identity.PublicKey) error {
	left, err := a.ownedBy(ctx, old, incoming)
	if err != nil || len(left) == 0 {
		return err
	}
	return hinted(fmt.Errorf("your present key owns %s, and the new one does not: from then on this home could not change who may do what there; nothing was changed", strings.Join(left, ", ")),
		fmt.Sprintf("hand over first: peer repo allow %s %s --role owner; or add --force: importing the old key again makes it yours again", left[0], incoming.DID()))
}

// ownedBy names the repositories that old owns and incoming does not, as far as
// this home knows: those that its node holds, or else those that it has met.
func (a *app) ownedBy(ctx context.Context, old, incoming identity.PublicKey) (names []string, err error) {
	node, err := a.home.Dial(ctx)
	if err != nil {
		met, err := pins{a.home.Dir}.read()
		for id, p := range met.Repos {
			if identity.NewRepoID(old, p.Name).String() == id {
				names = append(names, p.Name)
			}
		}
		slices.Sort(names)
		return names, err
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := node.ListRepos(ctx, &pb.ListReposRequest{})
	for _, repo := range r.GetRepos() {
		if repo.GetRemovedUnixMs() == 0 && hasOwner(repo, old) && !hasOwner(repo, incoming) {
			names = append(names, repo.GetName())
		}
	}
	return names, err
}

func hasOwner(r *pb.Repo, key identity.PublicKey) bool {
	if r.GetPolicy() == nil {
		return r.GetOwner() == key.DID()
	}
	return slices.ContainsFunc(r.GetPolicy().GetGrants(), func(g *pb.Grant) bool {
		return g.GetKey() == key.DID() && g.GetRole() == "owner"
	})
}

// setUserKey puts a key in the place of the one before. No private key is ever
// destroyed: one that another takes the place of keeps a name of its own.
func (h *Home) setUserKey(before userKey, k newUserKey) error {
	keep := before.Place == inFile || before.Place == inSealed
	if keep && before.Public != k.public {
		if err := os.Rename(h.UserKeyPath(), h.asidePath(before.Public)); err != nil {
			return fmt.Errorf("put the present key aside: %w", err)
		}
		keep = false
	}
	if k.file == keyFile {
		if err := h.writeUserKey(k.raw); err != nil {
			return err
		}
	} else if k.file != "" {
		if keep { // the same key, now in an agent: its owner decides about the copy
			return hinted(fmt.Errorf("%s is that key, and goes before an agent", h.UserKeyPath()), "move it away first; encrypted, it is asked of an agent that has it anyway: peer id encrypt")
		}
		return writeFile(h.UserPubPath(), k.raw, 0o644)
	}
	if err := os.Remove(h.UserPubPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// writeUserKey replaces the file of the user's key, readable by its owner alone.
func (h *Home) writeUserKey(raw []byte) error {
	if err := writeFile(h.UserKeyPath(), raw, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	return nil
}

type idEncryptCmd struct{}

// Run encrypts the user's key with a passphrase.
func (c *idEncryptCmd) Run(a *app) error {
	home, u, err := ownKeyFile(a)
	if err != nil {
		return err
	}
	if u.Place == inSealed {
		return hinted(fmt.Errorf("%s is encrypted already", u.Path), "another passphrase: ssh-keygen -p -f "+shellQuote(u.Path))
	}
	passphrase, err := home.newPassphrase()
	if err != nil {
		return hinted(fmt.Errorf("encrypt %s: %w", u.Path, err), "nothing was changed; for scripts: --passphrase-file FILE")
	}
	defer clear(passphrase)
	raw, err := identity.MarshalPrivateKey(u.key, "", passphrase)
	if err != nil {
		return err
	}
	if back, err := identity.ParsePrivateKey(raw, bytes.Clone(passphrase)); err != nil || back.Public() != u.Public {
		return fmt.Errorf("encrypt %s: what was written can't be read again; nothing was changed (%w)", u.Path, err)
	}
	return home.writeUserKey(raw)
}

type idDecryptCmd struct{}

// Run takes the passphrase off the user's key.
func (c *idDecryptCmd) Run(a *app) error {
	home, u, err := ownKeyFile(a)
	if err != nil {
		return err
	}
	if u.Place == inFile {
		return hinted(fmt.Errorf("%s is not encrypted", u.Path), "encrypt it: peer id encrypt")
	}
	key, err := home.openKey(u.raw, u.Path)
	if err != nil {
		return err
	}
	raw, err := identity.MarshalPrivateKey(key, "", nil)
	if err != nil {
		return err
	}
	return home.writeUserKey(raw)
}

// ownKeyFile is the file of the user's key, where there is one.
func ownKeyFile(a *app) (*Home, userKey, error) {
	home, err := a.Home()
	if err != nil {
		return nil, userKey{}, err
	}
	u, err := home.userKey()
	switch {
	case err != nil:
		return nil, u, err
	case u.Place == inNode:
		return nil, u, hinted(errors.New("your key is the node's, which must start by itself and so is not encrypted"), "give yourself a key of your own: peer id import FILE --encrypt")
	case u.Place == inAgent:
		return nil, u, hinted(errors.New("your key is in an ssh-agent, and not in this home"), "see where: peer id show")
	}
	return home, u, nil
}
