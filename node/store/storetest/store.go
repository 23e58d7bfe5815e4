// Package storetest is the store in memory, for tests of those who use one: it
// can lose power, fail and lie. Suite holds what every store has to do, and both
// this one and the real one are run through it.
package storetest

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node/store"
	"peer/replica"
)

// ErrInjected is why a Save fails that was told to.
var ErrInjected = errors.New("injected failure")

// Fate says what is on the disk of a Save that failed.
type Fate int

// What may be left of a Save that failed.
const (
	Lost Fate = iota // nothing
	Kept             // all of it
	Torn             // the first half of the turn's Saves, and of the next one its entries
)

// Store does what [store.Store] does, with maps. Each Save is durable when it returns.
type Store struct {
	// LoseUnsynced makes the disk lie: Crash forgets the last Save, although it
	// was acknowledged. A test shows with it that its checks would notice.
	LoseUnsynced bool

	mu     sync.Mutex
	disk   *disk
	last   undo // takes the last Save back
	logs   map[identity.RepoID]*Log
	failIn int // Saves until one fails; 0 is never
	fate   Fate
	poison error
	closed bool
}

// disk is what readers see, and what survives a crash.
type disk struct {
	repos map[identity.RepoID]*repo
	seats map[identity.RepoID]seat
	node  map[string][]byte
}

type repo struct {
	hard        *pb.HardState
	conf        *pb.ConfState
	index, term uint64 // of the last entry that the log has forgotten
	entries     []*pb.Entry
	table       map[string][]byte
}

type seat struct {
	nonce []byte
	at    time.Time
}

// New makes an empty store.
func New() *Store { return start(newDisk()) }

func newDisk() *disk {
	return &disk{
		repos: map[identity.RepoID]*repo{}, seats: map[identity.RepoID]seat{}, node: map[string][]byte{},
	}
}

func start(d *disk) *Store { return &Store{disk: d, logs: map[identity.RepoID]*Log{}} }

// Crash ends this store as a power loss would, and gives what opens afterwards.
func (s *Store) Crash() *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.LoseUnsynced {
		s.last.run()
	}
	survives := s.disk
	s.closed, s.disk = true, newDisk()
	return start(survives)
}

// FailSave makes the n-th Save from now on fail, the next one being the first, and
// says what is on disk of it then. The store is poisoned as the real one would be.
func (s *Store) FailSave(n int, fate Fate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failIn, s.fate = n, fate
}

// Close ends the store.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// writable says why nothing can be written, if so. The caller holds mu.
func (s *Store) writable() error {
	switch {
	case s.closed:
		return store.ErrClosed
	case s.poison != nil:
		return &store.PoisonedError{First: s.poison}
	}
	return nil
}

// Save implements the same contract as [store.Store.Save].
func (s *Store) Save(turn []replica.Save) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	var u undo
	for i := range turn {
		if err := s.disk.save(&turn[i], &u); err != nil {
			u.run()
			return err
		}
	}
	if s.failIn--; s.failIn == 0 {
		s.fail(turn, u)
		return s.poison
	}
	s.failIn = max(s.failIn, 0)
	s.last = u
	return nil
}

// fail leaves of a turn what its fate is. The turn has been applied.
func (s *Store) fail(turn []replica.Save, u undo) {
	s.poison = ErrInjected
	s.last = nil
	if s.fate == Kept {
		return
	}
	u.run()
	if s.fate == Lost {
		return
	}
	half := len(turn) / 2
	for i := range turn[:half] {
		_ = s.disk.save(&turn[i], &u) // it went well a moment ago
	}
	if half < len(turn) && turn[half].Install == nil {
		_ = s.disk.save(&replica.Save{Repo: turn[half].Repo, Entries: turn[half].Entries}, &u)
	}
}

// Table implements the same contract as [store.Store.Table].
func (s *Store) Table(id identity.RepoID, f func(key string, value []byte) error) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return store.ErrClosed
	}
	var table map[string][]byte
	if r := s.disk.repos[id]; r != nil {
		table = maps.Clone(r.table)
	}
	s.mu.Unlock()
	return inOrder(table, "", f)
}

// Repos are the repositories with a log.
func (s *Store) Repos() ([]identity.RepoID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	return slices.Collect(maps.Keys(s.disk.repos)), nil
}

// DropRepo removes everything of one repository.
func (s *Store) DropRepo(id identity.RepoID) error {
	return s.change(func(d *disk) {
		delete(d.repos, id)
		delete(d.seats, id)
		delete(s.logs, id)
	})
}

// change is for everything that is written outside of Saves.
func (s *Store) change(f func(*disk)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.writable(); err != nil {
		return err
	}
	f(s.disk)
	s.last = nil // this synced, and all that was before it
	return nil
}

// undo takes changes back, the last first.
type undo []func()

func (u *undo) add(f func()) { *u = append(*u, f) }

func (u *undo) run() {
	for _, f := range slices.Backward(*u) {
		f()
	}
	*u = nil
}

func cloneHard(hs *pb.HardState) *pb.HardState { return proto.Clone(hs).(*pb.HardState) }

func cloneConf(cs *pb.ConfState) *pb.ConfState { return proto.Clone(cs).(*pb.ConfState) }
