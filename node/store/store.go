package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"peer/identity"
)

// Options says where a store is and how it behaves.
type Options struct {
	// Dir holds the store and nothing else. Open makes it.
	Dir string
	// Logger hears what an operator should; nil is silent.
	Logger *slog.Logger
	// NoSync acknowledges before the disk has it, so a power loss takes back
	// promises. For tests and measurements alone; the default syncs.
	NoSync bool
}

// A Store is safe for use by many goroutines. Saves run one after another.
type Store struct {
	db   *badger.DB
	dir  dirSyncer
	log  *slog.Logger
	trip *tripwire

	// What tests replace. An error of beforeCommit is as good as one of the disk.
	beforeCommit func(*batch) error
	freeBytesMin uint64

	lifetime context.Context // ends when Close begins
	cancel   context.CancelCauseFunc
	loops    sync.WaitGroup
	kick     chan struct{} // wakes the sweeper

	closing sync.Mutex // guards closed, and users.Add against Close
	closed  bool
	users   sync.WaitGroup

	saving         sync.Mutex // held by whoever changes logs
	nextGeneration generation // guarded by saving

	mu    sync.Mutex // guards what follows, and is never held while badger works
	heads map[identity.RepoID]head
	logs  map[identity.RepoID]*Log
	cache cache
	// trimmed says up to which index entries have been deleted, by generation.
	trimmed map[generation]uint64
}

// Open opens the store, which one process at a time can do. Its errors for people
// are [*LockedError], [*FormatError] and [*DiskFullError].
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := checkSpace(o.Dir, FreeBytesMin); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	trip := &tripwire{log: o.Logger}
	db, err := badger.Open(badgerOptions(o, trip))
	if err != nil {
		if held := lockHolder(o.Dir); held != nil {
			return nil, held
		}
		return nil, fmt.Errorf("open store in %s: %w", o.Dir, err)
	}
	s := &Store{
		db: db, dir: dirSyncer{dir: o.Dir, off: o.NoSync}, log: o.Logger, trip: trip,
		beforeCommit: func(*batch) error { return nil }, freeBytesMin: FreeBytesMin,
		kick:    make(chan struct{}, 1),
		trimmed: map[generation]uint64{},
		heads:   map[identity.RepoID]head{},
		logs:    map[identity.RepoID]*Log{},
	}
	s.lifetime, s.cancel = context.WithCancelCause(context.Background())
	if err := s.load(); err != nil {
		s.cancel(err)
		return nil, errors.Join(fmt.Errorf("open store in %s: %w", o.Dir, err), db.Close())
	}
	s.loops.Go(s.housekeep)
	s.kickSweeper() // what an interrupted process left
	return s, nil
}

// load reads what is always held in memory, after it has checked the format.
func (s *Store) load() error {
	// Badger goes on without a file that it finds damaged, and only logs it.
	if err := s.trip.err(); err != nil {
		return err
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	// NB: a new store's files must have names before anything in it counts.
	if err := s.dir.syncWithParent(); err != nil {
		return err
	}
	err := s.scan([]byte{prefixHead}, func(key, body []byte) error {
		repo, err := parseRepoKey(key)
		if err != nil {
			return err
		}
		h, err := decodeHead(key, body)
		s.heads[repo] = h
		return err
	})
	if err != nil {
		return err
	}
	if err := s.loadTrimmed(); err != nil {
		return err
	}
	last, err := s.lastGeneration()
	s.nextGeneration = last + 1
	return err
}

// lastGeneration is the highest that is named anywhere.
func (s *Store) lastGeneration() (generation, error) {
	var last generation
	for _, h := range s.heads {
		last = max(last, h.generation)
	}
	for _, prefix := range []byte{prefixTrimmed, prefixGarbage, prefixData} {
		key, err := s.lastKey([]byte{prefix})
		if err != nil || len(key) < generationKeySize {
			if err != nil {
				return 0, err
			}
			continue
		}
		g, err := parseGenerationKey(key[:generationKeySize])
		if err != nil {
			return 0, err
		}
		last = max(last, g)
	}
	return last, nil
}

// Close waits for the calls that are under way. What Save acknowledged is safe
// with or without it.
func (s *Store) Close() error {
	s.closing.Lock()
	if s.closed {
		s.closing.Unlock()
		return nil
	}
	s.closed = true
	s.closing.Unlock()
	s.cancel(ErrClosed)
	s.loops.Wait()
	s.users.Wait()
	// NB: badger ends by writing tables into mapped files. On a full disk that kills
	// the process, or never returns. The logs have all of it, and the end of the
	// process closes them.
	if err := s.checkSpace(); err != nil {
		s.log.Warn("the database stays open until this process ends", "why", err)
		return nil
	}
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// enter keeps the store open until the function that it returns is called.
// Badger hangs or crashes when it is used after it was closed.
func (s *Store) enter() (leave func(), err error) {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	s.users.Add(1)
	return s.users.Done, nil
}

// Repos are the repositories with a log, in no particular order.
func (s *Store) Repos() ([]identity.RepoID, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	s.mu.Lock()
	defer s.mu.Unlock()
	repos := make([]identity.RepoID, 0, len(s.heads))
	for repo := range s.heads {
		repos = append(repos, repo)
	}
	return repos, nil
}

func lockPath(dir string) string { return filepath.Join(dir, "LOCK") }
