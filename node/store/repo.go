package store

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"peer/identity"
)

// Table calls f with all keys of repo's table in order, as of one Save. The value
// belongs to f.
func (s *Store) Table(repo identity.RepoID, f func(key string, value []byte) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.db.View(func(txn *badger.Txn) error {
		// NB: the head as of this transaction; the one in memory may be newer.
		g, ok, err := generationIn(txn, repo)
		if err != nil || !ok {
			return err
		}
		prefix := dataPrefix(g, kindTable)
		return scanIn(txn, prefix, prefix, func(key, body []byte) error {
			return f(string(key[dataPrefixSize:]), body)
		})
	})
}

func generationIn(txn *badger.Txn, repo identity.RepoID) (g generation, ok bool, err error) {
	key := repoKey(prefixHead, repo)
	item, err := txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("repository %s: read head: %w", repo.Short(), err)
	}
	value, err := item.ValueCopy(nil)
	if err != nil {
		return 0, false, fmt.Errorf("repository %s: read head: %w", repo.Short(), err)
	}
	body, err := unseal(key, value)
	if err != nil {
		return 0, false, err
	}
	h, err := decodeHead(key, body)
	return h.generation, err == nil, err
}

// DropRepo removes everything of one repository, its seat included. The log that
// the store gave out for it is empty from then on, and must not be used further.
func (s *Store) DropRepo(repo identity.RepoID) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.saving.Lock()
	defer s.saving.Unlock()
	s.mu.Lock()
	h, exists := s.heads[repo]
	s.mu.Unlock()

	var b batch
	for _, prefix := range []byte{prefixHead, prefixHard, prefixConf, prefixSeat} {
		b.delete(repoKey(prefix, repo))
	}
	if exists {
		b.set(generationKey(prefixGarbage, h.generation))
	}
	if err := s.commit(&b); err != nil {
		return fmt.Errorf("repository %s: drop: %w", repo.Short(), err)
	}

	s.mu.Lock()
	if l, ok := s.logs[repo]; ok {
		s.cache.drop(l)
		l.state = logState{}
	}
	delete(s.logs, repo)
	delete(s.heads, repo)
	delete(s.trimmed, h.generation)
	s.mu.Unlock()
	s.kickSweeper()
	return nil
}
