package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"peer/identity"
	"peer/node/control"
)

// homeFormat is the version of the layout of a home that this program writes.
// It grows when an older program would misread what a newer one wrote.
const homeFormat = 1

// Home is the directory of one node and its user:
//
//	FORMAT        version of this layout
//	key           private key, PKCS #8 in PEM, 0600; a link where --priv-key named it
//	user.key      private key of the user, where it is another: OpenSSH's format, 0600
//	user.key.z6…  those that others took the place of
//	user.pub      or the public one, where an ssh-agent has the private one
//	gitd.key      private key of the git daemon
//	config.json   values for flags
//	network.json  what a client needs to find the network without a running node
//	known/        geneses of private repositories that it found while it ran no node
//	former.json   which keys the user had before, and what they founded
//	aliases.json  petnames
//	peer.sock     control API, while a node runs
//	peer.pid      its process ID
//	lock          held (flock) by the running node
//	token         what callers of the control API over TCP show
//	receipts/     proofs of this home's pushes
//	pins.json     what it knows of each repository, and does not go back behind
//	proved/       the refs that it has checked
//	import/       clones of what is being imported
//	mirrors.json  mirrors of repositories elsewhere
//	mirrors/      what they fetched, and how they fared
//	badger/       logs, votes, tables
//	repos/        bare repositories, unless --repos-dir says otherwise
//	bin/          a link by which git finds this program, where peer setup was not run
type Home struct {
	Dir string // absolute
	// PassphraseFile has the passphrase of the user's key; empty: ask for it.
	PassphraseFile string

	sealed *sealedKey // of the user, so that a command asks for the passphrase once
}

// DefaultHomeDir is the home where neither --home nor PEER_HOME names one:
// peer/ in the XDG data directory.
func DefaultHomeDir() (string, error) {
	// The specification says that a relative path is to be ignored.
	if data := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		return filepath.Join(data, "peer"), nil
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", hinted(fmt.Errorf("find a home: %w", err), "name one with --home DIR or PEER_HOME=DIR")
	}
	return filepath.Join(user, ".local", "share", "peer"), nil
}

// homeDir is the home that --home names; an empty dir means PEER_HOME, or else
// the default.
func homeDir(dir string) (string, error) {
	if dir = firstSet(dir, os.Getenv("PEER_HOME")); dir == "" {
		return DefaultHomeDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("home: %w", err)
	}
	return dir, nil
}

// OpenHome opens the home at dir, and makes it where there is none. An empty
// dir means PEER_HOME, or else the default.
func OpenHome(dir string) (*Home, error) {
	dir, err := homeDir(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make home: %w", err)
	}
	h := &Home{Dir: dir, PassphraseFile: os.Getenv("PEER_PASSPHRASE_FILE")}
	return h, h.checkFormat()
}

func (h *Home) checkFormat() error {
	err := h.readFormat()
	if errors.Is(err, fs.ErrNotExist) {
		return writeFile(h.path("FORMAT"), fmt.Appendf(nil, "%d\n", homeFormat), 0o644)
	}
	return err
}

// readFormat says why this program can't use the home; fs.ErrNotExist where nobody has yet.
func (h *Home) readFormat() error {
	path := h.path("FORMAT")
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || version < 1 {
		return fmt.Errorf("%s does not hold a version: %.40q", path, raw)
	}
	if version > homeFormat {
		return hinted(
			fmt.Errorf("home %s has format %d, and this peer knows formats up to %d; nothing was changed", h.Dir, version, homeFormat),
			"use the newer peer that wrote it, or another home: --home DIR")
	}
	return nil
}

func (h *Home) path(name string) string { return filepath.Join(h.Dir, name) }

// KeyPath is where the private key is.
func (h *Home) KeyPath() string { return h.path("key") }

// ConfigPath is the file of values for flags.
func (h *Home) ConfigPath() string { return h.path(configName) }

// SocketPath is where the node serves the control API.
func (h *Home) SocketPath() string { return h.path("peer.sock") }

// PIDPath is where the node leaves its process ID.
func (h *Home) PIDPath() string { return h.path("peer.pid") }

// TokenPath is where the token of the control API over TCP is.
func (h *Home) TokenPath() string { return h.path("token") }

// StorePath is the directory of the node's database.
func (h *Home) StorePath() string { return h.path("badger") }

// hadNode says whether a node ever ran in the home.
func (h *Home) hadNode() bool {
	_, err := os.Stat(h.StorePath())
	return err == nil
}

// ReposPath is the directory of the bare repositories, unless a flag says otherwise.
func (h *Home) ReposPath() string { return h.path("repos") }

// Key is the key of the node. It is drawn at first use.
func (h *Home) Key() (identity.Key, error) {
	key, err := identity.LoadOrCreateKey(h.KeyPath())
	if err != nil {
		return identity.Key{}, fmt.Errorf("key of home %s: %w", h.Dir, err)
	}
	return key, nil
}

// AdoptKey makes the key in file the home's, drawing it where there is none. A
// home has one key for ever, since its repositories are named by it.
func (h *Home) AdoptKey(file string) error {
	file, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	theirs, err := identity.LoadOrCreateKey(file)
	if err != nil {
		return fmt.Errorf("private key: %w", err)
	}
	if err := os.Symlink(file, h.KeyPath()); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("private key: %w", err)
	}
	ours, err := h.Key()
	if err != nil {
		return err
	}
	if ours.Public() != theirs.Public() {
		return hinted(
			fmt.Errorf("home %s has another key (%s) than %s (%s)", h.Dir, ours.PeerID(), file, theirs.PeerID()),
			"leave --priv-key out, or give that key a home of its own: --home DIR")
	}
	return nil
}

// Dial reaches the node of this home. The error is control.ErrNotRunning,
// wrapped with what to type, where none runs.
func (h *Home) Dial(ctx context.Context) (*control.Client, error) {
	c, err := control.Dial(ctx, h.SocketPath())
	if errors.Is(err, control.ErrNotRunning) {
		return nil, &fault{
			err:  fmt.Errorf("no node runs for home %s%w", h.Dir, silent{err}),
			hint: "start one in another terminal: peer node --home " + shellQuote(h.Dir),
			exit: exitNotRunning,
		}
	}
	return c, err
}
