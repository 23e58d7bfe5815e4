package cmd

import (
	"container/list"
	"strings"
	"sync"

	"peer/identity"
	"peer/node/store"
)

// Whoever reaches the git daemon has it ask for repositories of his choice, and of his
// making. So what it remembers has an end, and is not added to the home's pins.
const (
	gitdPinsMax     = 16 << 10
	gitdGenesesMax  = 4096
	gitdCachePrefix = "gitd/"
)

// gitdPins are the pins of repositories that the git daemon has met and its home has not,
// for as long as the daemon runs. The one that was not asked for the longest goes when
// there are too many.
type gitdPins struct {
	mu   sync.Mutex
	of   map[identity.RepoID]*list.Element
	last list.List // of gitdPin, the most recent first
}

type gitdPin struct {
	repo    identity.RepoID
	genesis identity.GenesisHash
	seen    uint64
}

// lookup has neither genesis nor index at first contact.
func (p *gitdPins) lookup(repo identity.RepoID) pin {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.of[repo]
	if e == nil {
		return pin{ofGitd: true}
	}
	p.last.MoveToFront(e)
	have := e.Value.(gitdPin)
	return pin{Genesis: have.genesis.String(), SeenIndex: have.seen, ofGitd: true}
}

// remember is as that of [pins].
func (p *gitdPins) remember(repo identity.RepoID, name string, genesis identity.GenesisHash, index uint64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[identity.RepoID]*list.Element{}
	}
	if e := p.of[repo]; e != nil {
		have := e.Value.(gitdPin)
		if have.genesis != genesis {
			return gitdPinConflict(repo, name, have.genesis.String(), genesis.String())
		}
		have.seen = max(have.seen, index)
		e.Value = have
		p.last.MoveToFront(e)
		return nil
	}
	if len(p.of) >= gitdPinsMax {
		delete(p.of, p.last.Remove(p.last.Back()).(gitdPin).repo)
	}
	p.of[repo] = p.last.PushFront(gitdPin{repo, genesis, index})
	return nil
}

// gitdPinHint is how a person has the git daemon forget.
const gitdPinHint = "ask the owner whether the repository was set back, or founded anew; the git daemon forgets what it has seen when its node is restarted"

func gitdPinConflict(repo identity.RepoID, name, pinned, seen string) error {
	return hinted(&genesisConflict{repo: repo, name: name, pinned: pinned, seen: seen}, gitdPinHint)
}

// gitdCache is what the git daemon's client remembers, apart from what the home does. It
// outlives the node, so that nobody needs to be asked about a private repository again.
type gitdCache struct {
	store *store.Store
	max   int
	mu    sync.Mutex
	keys  map[string]bool // of what is stored
}

// openGitdCache takes up what is stored, and drops what of that is too much.
func openGitdCache(s *store.Store, max int) (*gitdCache, error) {
	c := &gitdCache{store: s, max: max, keys: map[string]bool{}}
	var more []string
	err := s.Scan(gitdCachePrefix, func(key string, _ []byte) error {
		if len(c.keys) < max {
			c.keys[strings.TrimPrefix(key, gitdCachePrefix)] = true
		} else {
			more = append(more, key)
		}
		return nil
	})
	for _, key := range more {
		if err == nil {
			err = s.Delete(key)
		}
	}
	return c, err
}

// Get implements [node.Cache].
func (c *gitdCache) Get(key string) ([]byte, bool, error) { return c.store.Get(gitdCachePrefix + key) }

// Put implements [node.Cache]. Where there is no room any value goes: it can be found again.
func (c *gitdCache) Put(key string, value []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.keys[key] && len(c.keys) >= c.max {
		for old := range c.keys {
			if err := c.store.Delete(gitdCachePrefix + old); err != nil {
				return err
			}
			delete(c.keys, old)
			break
		}
	}
	if err := c.store.Put(gitdCachePrefix+key, value); err != nil {
		return err
	}
	c.keys[key] = true
	return nil
}
