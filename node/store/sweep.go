package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
)

const (
	housekeepingEvery = 10 * time.Minute
	// sweepBatch bounds how many keys go in one transaction, so that a Save that
	// has to wait for one waits little.
	sweepBatch = 2000
	// backlogMin is how many forgotten entries are worth a transaction at once;
	// fewer wait for the next round.
	backlogMin = 256
	// discardRatio is the part of a value log file that must be garbage for the
	// rest to be worth rewriting.
	discardRatio = 0.5
)

func (s *Store) kickSweeper() {
	select {
	case s.kick <- struct{}{}:
	default: // one is pending
	}
}

// housekeep deletes what nothing names any more.
func (s *Store) housekeep() {
	tick := time.NewTicker(housekeepingEvery)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-s.lifetime.Done():
			return
		case <-s.kick:
			err = s.sweep(backlogMin)
		case <-tick.C:
			if err = s.sweep(1); err == nil {
				err = s.collectValueLog()
			}
		}
		if err != nil && s.lifetime.Err() == nil {
			s.log.Warn("store could not be cleaned up", "error", err)
		}
	}
}

func (s *Store) collectValueLog() error {
	for s.lifetime.Err() == nil {
		err := s.db.RunValueLogGC(discardRatio)
		if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("collect value log: %w", err)
		}
	}
	return nil
}

// sweep deletes garbage generations, and the forgotten entries of logs that have
// at least so many.
func (s *Store) sweep(backlog uint64) error {
	garbage, err := s.garbage()
	if err != nil {
		return err
	}
	for _, g := range garbage {
		if err := s.sweepGeneration(g); err != nil {
			return fmt.Errorf("sweep generation %d: %w", g, err)
		}
	}
	for g, upTo := range s.forgotten(backlog) {
		if err := s.trim(g, upTo); err != nil {
			return fmt.Errorf("trim generation %d: %w", g, err)
		}
	}
	return nil
}

func (s *Store) garbage() ([]generation, error) {
	// NB: during a Save, the generation that it builds is named as garbage too.
	s.saving.Lock()
	defer s.saving.Unlock()
	var garbage []generation
	err := s.scan([]byte{prefixGarbage}, func(key, _ []byte) error {
		g, err := parseGenerationKey(key)
		garbage = append(garbage, g)
		return err
	})
	return garbage, err
}

func (s *Store) sweepGeneration(g generation) error {
	var b batch
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: generationKey(prefixData, g)})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			b.delete(it.Item().KeyCopy(nil))
			if len(b.writes) < sweepBatch {
				continue
			}
			if err := s.sweepCommit(&b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	// The name of the garbage goes with the last of it.
	b.delete(generationKey(prefixTrimmed, g))
	b.delete(generationKey(prefixGarbage, g))
	return s.sweepCommit(&b)
}

// forgotten says up to where entries can be deleted, by generation.
func (s *Store) forgotten(backlog uint64) map[generation]uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	upTo := map[generation]uint64{}
	for _, h := range s.heads {
		if h.index >= s.trimmed[h.generation]+backlog {
			upTo[h.generation] = h.index
		}
	}
	return upTo
}

// trim deletes entries by number. Looking for them would have to step over all
// that were deleted before.
func (s *Store) trim(g generation, upTo uint64) error {
	for {
		s.mu.Lock()
		done, live := s.trimmed[g]
		s.mu.Unlock()
		if !live || done >= upTo {
			return nil
		}
		var b batch
		for done < upTo && len(b.writes) < sweepBatch {
			done++
			b.delete(entryKey(g, done))
		}
		b.set(generationKey(prefixTrimmed, g), encodeUint64(done))
		if err := s.sweepCommit(&b); err != nil {
			return err
		}
		s.mu.Lock()
		if _, live := s.trimmed[g]; live {
			s.trimmed[g] = done
		}
		s.mu.Unlock()
	}
}

func (s *Store) sweepCommit(b *batch) error {
	if err := s.lifetime.Err(); err != nil {
		return err
	}
	err := s.commit(b)
	b.reset()
	return err
}

// loadTrimmed reads how far the deleting of entries had come. A log that it finds
// nothing for began at its first entry.
func (s *Store) loadTrimmed() error {
	for _, h := range s.heads {
		s.trimmed[h.generation] = 0
	}
	return s.scan([]byte{prefixTrimmed}, func(key, body []byte) error {
		g, err := parseGenerationKey(key)
		if err != nil {
			return err
		}
		if _, live := s.trimmed[g]; !live {
			return nil
		}
		s.trimmed[g], err = decodeUint64(key, body)
		return err
	})
}
