package store

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
)

var _ replica.Log = (*Log)(nil)

// Log is one repository's log, as last saved. What raft asks often, it answers
// from memory.
type Log struct {
	store *Store
	repo  identity.RepoID

	// The rest is guarded by store.mu.
	state    logState
	recent   []*pb.Entry // the end of the log, without a gap; may be empty
	bytes    int         // of recent
	snapshot func() (*pb.Snapshot, error)
}

// logState is what a Save changes of a log, apart from the entries themselves.
type logState struct {
	head     head
	exists   bool // false until something has been saved
	last     uint64
	lastTerm uint64
	hard     *pb.HardState // nil when none was saved
	conf     *pb.ConfState // nil when none was saved
}

// Log gives the log of repo, the same one every time. It is empty for a repository
// of which nothing was saved.
func (s *Store) Log(repo identity.RepoID) (replica.Log, error) {
	leave, err := s.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	s.saving.Lock() // else a Save could pass between loading and remembering
	defer s.saving.Unlock()
	l, err := s.open(repo)
	if err != nil {
		return nil, err
	}
	return l, nil
}

// open is Log for those who hold saving.
func (s *Store) open(repo identity.RepoID) (*Log, error) {
	s.mu.Lock()
	l, known := s.logs[repo]
	h, exists := s.heads[repo]
	s.mu.Unlock()
	if known {
		return l, nil
	}
	l = &Log{store: s, repo: repo}
	if exists {
		state, err := s.loadLog(repo, h)
		if err != nil {
			return nil, fmt.Errorf("repository %s: open log: %w", repo.Short(), err)
		}
		l.state = state
	}
	s.mu.Lock()
	s.logs[repo] = l
	s.mu.Unlock()
	return l, nil
}

func (s *Store) loadLog(repo identity.RepoID, h head) (logState, error) {
	state := logState{head: h, exists: true, last: h.index, lastTerm: h.term}
	key := repoKey(prefixHard, repo)
	body, ok, err := s.read(key)
	if err == nil && ok {
		state.hard, err = decodeHardState(key, body)
	}
	if err != nil {
		return state, err
	}
	key = repoKey(prefixConf, repo)
	body, ok, err = s.read(key)
	if err == nil && ok {
		state.conf, err = decodeConfState(key, body)
	}
	if err != nil {
		return state, err
	}
	if err := s.loadLast(&state); err != nil {
		return state, err
	}
	if commit := state.hard.GetCommit(); state.hard != nil && (commit > state.last || commit < h.index) {
		return state, corrupt(repoKey(prefixHard, repo),
			fmt.Sprintf("commit index %d lies outside of the log, %d to %d", commit, h.index, state.last))
	}
	return state, nil
}

// loadLast finds the end of the log.
func (s *Store) loadLast(state *logState) error {
	key, err := s.lastKey(dataPrefix(state.head.generation, kindEntry))
	if err != nil || key == nil {
		return err
	}
	_, index, err := parseEntryKey(key)
	if err != nil || index <= state.head.index { // forgotten, and not yet deleted
		return err
	}
	last, err := s.readEntry(state.head.generation, index)
	if err != nil {
		return err
	}
	if first := state.head.index + 1; first < index {
		if _, err := s.readEntry(state.head.generation, first); err != nil {
			return err
		}
	}
	state.last, state.lastTerm = index, last.GetTerm()
	return nil
}

// InitialState implements raft.Storage.
func (l *Log) InitialState() (*pb.HardState, *pb.ConfState, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	var hard *pb.HardState
	if l.state.hard != nil {
		hard = proto.Clone(l.state.hard).(*pb.HardState)
	}
	conf := &pb.ConfState{}
	if l.state.conf != nil {
		conf = proto.Clone(l.state.conf).(*pb.ConfState)
	}
	return hard, conf, nil
}

// FirstIndex implements raft.Storage.
func (l *Log) FirstIndex() (uint64, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	return l.state.head.index + 1, nil
}

// LastIndex implements raft.Storage.
func (l *Log) LastIndex() (uint64, error) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	return l.state.last, nil
}

// Term implements raft.Storage.
func (l *Log) Term(index uint64) (uint64, error) {
	l.store.mu.Lock()
	term, known, err := l.term(index)
	g := l.state.head.generation
	l.store.mu.Unlock()
	if known || err != nil {
		return term, err
	}
	leave, err := l.store.enter()
	if err != nil {
		return 0, err
	}
	defer leave()
	e, err := l.store.readEntry(g, index)
	return e.GetTerm(), err
}

// term answers from memory, if it can. The caller holds store.mu.
func (l *Log) term(index uint64) (term uint64, known bool, err error) {
	switch {
	case index < l.state.head.index:
		return 0, false, raft.ErrCompacted
	case index > l.state.last:
		return 0, false, raft.ErrUnavailable
	case index == l.state.head.index:
		return l.state.head.term, true, nil
	case index == l.state.last:
		return l.state.lastTerm, true, nil
	}
	if from, ok := l.firstRecent(); ok && index >= from {
		return l.recent[index-from].GetTerm(), true, nil
	}
	return 0, false, nil
}

// Entries implements raft.Storage.
func (l *Log) Entries(lo, hi, maxSize uint64) ([]*pb.Entry, error) {
	l.store.mu.Lock()
	state := l.state
	if lo <= state.head.index {
		l.store.mu.Unlock()
		return nil, raft.ErrCompacted
	}
	if hi > state.last+1 {
		l.store.mu.Unlock()
		return nil, raft.ErrUnavailable
	}
	if lo >= hi {
		l.store.mu.Unlock()
		return nil, nil
	}
	if from, ok := l.firstRecent(); ok && lo >= from {
		entries := limitSize(l.recent[lo-from:hi-from], maxSize)
		entries = append(make([]*pb.Entry, 0, len(entries)), entries...)
		l.store.cache.touch(l)
		l.store.mu.Unlock()
		return entries, nil
	}
	l.store.mu.Unlock()
	leave, err := l.store.enter()
	if err != nil {
		return nil, err
	}
	defer leave()
	return l.store.readEntries(state.head.generation, lo, hi, maxSize)
}

// Snapshot implements raft.Storage.
func (l *Log) Snapshot() (*pb.Snapshot, error) {
	l.store.mu.Lock()
	snapshot := l.snapshot
	l.store.mu.Unlock()
	if snapshot == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return snapshot()
}

// SetSnapshotFunc implements [replica.Log].
func (l *Log) SetSnapshotFunc(f func() (*pb.Snapshot, error)) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	l.snapshot = f
}
