package storetest

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node/store"
	"peer/replica"
)

var _ replica.Log = (*Log)(nil)

// Log is one repository's log.
type Log struct {
	store    *Store
	repo     identity.RepoID
	snapshot func() (*pb.Snapshot, error)
}

// Log gives the log of a repository, the same one every time.
func (s *Store) Log(id identity.RepoID) (replica.Log, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	l := s.logs[id]
	if l == nil {
		l = &Log{store: s, repo: id}
		s.logs[id] = l
	}
	return l, nil
}

// saved calls f with the repository as last saved.
func (l *Log) saved(f func(*repo)) {
	l.store.mu.Lock()
	defer l.store.mu.Unlock()
	r := l.store.disk.repos[l.repo]
	// NB: a dropped repository's log stays empty, even if a new one is begun.
	if r == nil || l.store.logs[l.repo] != l {
		r = &repo{}
	}
	f(r)
}

// InitialState implements raft.Storage.
func (l *Log) InitialState() (hard *pb.HardState, conf *pb.ConfState, _ error) {
	l.saved(func(r *repo) {
		conf = &pb.ConfState{}
		if r.hard != nil {
			hard = cloneHard(r.hard)
		}
		if r.conf != nil {
			conf = cloneConf(r.conf)
		}
	})
	return hard, conf, nil
}

// FirstIndex implements raft.Storage.
func (l *Log) FirstIndex() (index uint64, _ error) {
	l.saved(func(r *repo) { index = r.index + 1 })
	return index, nil
}

// LastIndex implements raft.Storage.
func (l *Log) LastIndex() (index uint64, _ error) {
	l.saved(func(r *repo) { index = r.last() })
	return index, nil
}

// Term implements raft.Storage.
func (l *Log) Term(index uint64) (term uint64, err error) {
	l.saved(func(r *repo) {
		switch {
		case index < r.index:
			err = raft.ErrCompacted
		case index > r.last():
			err = raft.ErrUnavailable
		default:
			term = r.termOf(index)
		}
	})
	return term, err
}

// Entries implements raft.Storage.
func (l *Log) Entries(lo, hi, maxSize uint64) (entries []*pb.Entry, err error) {
	l.saved(func(r *repo) {
		if lo <= r.index {
			err = raft.ErrCompacted
			return
		}
		if hi > r.last()+1 {
			err = raft.ErrUnavailable
			return
		}
		size := uint64(0)
		for index := lo; index < hi; index++ {
			e := r.entries[index-r.index-1]
			if size += uint64(proto.Size(e)); size > maxSize && len(entries) > 0 {
				return
			}
			entries = append(entries, e)
		}
	})
	return entries, err
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
