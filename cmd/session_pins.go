package cmd

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const (
	pinsFile      = "pins.json"
	pinsLockFile  = "pins.lock"
	pinsVersion   = 1
	pinsLockWait  = 5 * time.Second
	pinsLockPause = 5 * time.Millisecond

	// pinsBytesMax has room for some 100,000 repositories.
	pinsBytesMax = 64 << 20
)

// pins is a home's memory of the repositories it has met: which genesis each
// has, and how far its log had come. Both only ever narrow what a replica may
// answer: another genesis is refused, and an older state is too.
//
// Readers take no lock, because the file is replaced whole. Writers take a lock
// beside it and merge with what others wrote meanwhile.
type pins struct{ dir string }

// pin is what a home remembers of one repository.
type pin struct {
	Genesis   string `json:"genesis"` // hash, in hexadecimal
	SeenIndex uint64 `json:"seen_index"`
	Name      string `json:"name"`
	// Vouched is the last state that a majority vouched for; nil: none ever did.
	Vouched *vouchedPin `json:"vouched,omitempty"`

	ofGitd bool // it is the git daemon's, and not of the file
}

// hash is the pinned genesis hash; empty at first contact.
func (p pin) hash() []byte {
	raw, _ := hex.DecodeString(p.Genesis) // lookup checked it
	return raw
}

// pinned is the file.
type pinned struct {
	Version int            `json:"version"`
	Repos   map[string]pin `json:"repos"` // by repository ID
}

// errPins says that the pins can't be understood, which another try does not change.
var errPins = errors.New("read pins")

// genesisConflict says that two geneses exist for one repository, both signed
// by its owner. No program can tell which one is meant.
type genesisConflict struct {
	repo         identity.RepoID
	name         string
	pinned, seen string
}

func (e *genesisConflict) Error() string {
	return fmt.Sprintf("repository %.100q has two geneses, both signed by its owner: %s is pinned here, a replica shows %s",
		e.name, e.pinned, e.seen)
}

// conflict says how a person decides.
func (p pins) conflict(repo identity.RepoID, name, pinned, seen string) error {
	return hinted(&genesisConflict{repo: repo, name: name, pinned: pinned, seen: seen},
		fmt.Sprintf("ask the owner which one is meant; if it is the new one, take %s out of %s", repo, p.path()))
}

// lookup returns the pin of a repository, or the zero pin at first contact.
func (p pins) lookup(repo identity.RepoID) (pin, error) {
	file, err := p.read()
	if err != nil {
		return pin{}, err
	}
	found := file.Repos[repo.String()]
	if err := p.sound(repo.String(), found); err != nil {
		return pin{}, err
	}
	return found, nil
}

// agree refuses a genesis that is another than the home has met.
func (p pins) agree(g *replica.Genesis) error {
	have, err := p.lookup(g.Repo)
	if err != nil || have.Genesis == "" || have.Genesis == g.Hash.String() {
		return err
	}
	conflict := p.conflict(g.Repo, g.Name, have.Genesis, g.Hash.String())
	return refusal(wire.FailureCode_FAILURE_BAD_REQUEST, conflict.Error(), hintOf(conflict))
}

// sound says what is wrong with a pin.
func (p pins) sound(repo string, found pin) error {
	if found.Genesis == "" {
		return nil
	}
	if raw, err := hex.DecodeString(found.Genesis); err != nil || len(raw) != len(identity.GenesisHash{}) {
		return fmt.Errorf("%w: %s: genesis hash of %.100s is damaged", errPins, p.path(), repo)
	}
	return nil
}

// check says what is wrong with any of the pins.
func (p pins) check() error {
	file, err := p.read()
	if err != nil {
		return err
	}
	for repo, found := range file.Repos {
		if err := p.sound(repo, found); err != nil {
			return err
		}
	}
	return nil
}

// remember pins the genesis of a repository and moves its seen index forward.
// It returns a *genesisConflict if another genesis is pinned.
func (p pins) remember(ctx context.Context, repo identity.RepoID, name string, genesis identity.GenesisHash, index uint64) error {
	if have, err := p.lookup(repo); err != nil {
		return err
	} else if have.Genesis == genesis.String() && have.SeenIndex >= index {
		return nil // the usual case costs one read
	}
	unlock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	file, err := p.read()
	if err != nil {
		return err
	}
	have := file.Repos[repo.String()]
	if have.Genesis != "" && have.Genesis != genesis.String() {
		return p.conflict(repo, name, have.Genesis, genesis.String())
	}
	file.Repos[repo.String()] = pin{Genesis: genesis.String(), SeenIndex: max(have.SeenIndex, index), Name: name, Vouched: have.Vouched}
	return p.write(file)
}

func (p pins) path() string { return filepath.Join(p.dir, pinsFile) }

func (p pins) read() (pinned, error) {
	file := pinned{Version: pinsVersion}
	err := readJSONUpTo(p.path(), &file, pinsBytesMax)
	var large *fileTooLarge
	if errors.As(err, &large) {
		return file, hinted(fmt.Errorf("%w: %w", errPins, err), "your repositories are safe; take those that you don't need out of "+p.path())
	}
	if err != nil {
		return file, hinted(fmt.Errorf("%w: %w", errPins, err),
			fmt.Sprintf("your repositories are safe; mend %s, or move it away: then each repository is taken at its word once more, as at first contact", p.path()))
	}
	if file.Version != pinsVersion {
		return file, fmt.Errorf("%w: %s has version %d: this peer knows %d", errPins, p.path(), file.Version, pinsVersion)
	}
	if file.Repos == nil {
		file.Repos = map[string]pin{}
	}
	return file, nil
}

// write replaces the file. It waits for the disk even where just a seen index moved: after
// a power cut a file that was renamed before its content was there is an empty one, and
// with it every pin is gone.
func (p pins) write(file pinned) error {
	if err := writeJSONUpTo(p.path(), file, pinsBytesMax); err != nil {
		return fmt.Errorf("write pins: %w", err)
	}
	return nil
}

// lock waits for the writers' lock. The kernel frees it if we die.
func (p pins) lock(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, pinsLockWait)
	defer cancel()
	path := filepath.Join(p.dir, pinsLockFile)
	for {
		file, err := flock(path, false)
		if err == nil {
			return func() { file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock pins: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("lock pins: another process holds %s: %w", path, ctx.Err())
		case <-time.After(pinsLockPause):
		}
	}
}
