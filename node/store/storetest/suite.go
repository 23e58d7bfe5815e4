package storetest

import (
	"fmt"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/node/store"
	"peer/replica"
)

// Backend is what every store can do.
type Backend interface {
	Log(identity.RepoID) (replica.Log, error)
	Repos() ([]identity.RepoID, error)
	Table(identity.RepoID, func(key string, value []byte) error) error
	Save([]replica.Save) error
	DropRepo(identity.RepoID) error
	PutSeat(repo identity.RepoID, nonce []byte, at time.Time) error
	Seat(identity.RepoID) (nonce []byte, ok bool, err error)
	DropSeat(identity.RepoID) error
	Seats(func(repo identity.RepoID, nonce []byte, at time.Time) error) error
	Get(key string) ([]byte, bool, error)
	Put(key string, value []byte) error
	Delete(key string) error
	Scan(prefix string, f func(key string, value []byte) error) error
	Close() error
}

var (
	_ Backend = (*Store)(nil)
	_ Backend = (*store.Store)(nil)
)

// Suite runs what every store has to do. open makes an empty one, which is closed
// at the end; reopen ends one and opens what it left.
func Suite(t *testing.T, open func(*testing.T) Backend, reopen func(*testing.T, Backend) Backend) {
	for _, c := range []struct {
		name string
		test func(*fixture)
	}{
		{"empty", (*fixture).empty},
		{"append", (*fixture).append},
		{"max size", (*fixture).maxSize},
		{"truncate", (*fixture).truncate},
		{"table", (*fixture).table},
		{"compact", (*fixture).compact},
		{"install", (*fixture).install},
		{"turn", (*fixture).turn},
		{"invalid", (*fixture).invalid},
		{"too large", (*fixture).tooLarge},
		{"drop", (*fixture).drop},
		{"seats", (*fixture).seats},
		{"node values", (*fixture).nodeValues},
		{"snapshot", (*fixture).snapshot},
		{"raft", (*fixture).raft},
		{"twin", (*fixture).twin},
		{"closed", (*fixture).closed},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fixture{T: t, Backend: open(t), reopenFunc: reopen}
			defer func() { _ = f.Close() }()
			c.test(f)
		})
	}
}

type fixture struct {
	*testing.T
	Backend
	reopenFunc func(*testing.T, Backend) Backend
}

func (f *fixture) reopen() { f.Backend = f.reopenFunc(f.T, f.Backend) }

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) save(saves ...replica.Save) {
	f.Helper()
	f.must(f.Save(saves))
}

// Repo makes a repository ID for tests.
func Repo(n byte) identity.RepoID { return identity.RepoID{n, 1: 0xff, 31: n} }

// Entries makes entries of one term from index lo to hi, each with data that says so.
func Entries(term, lo, hi uint64) []*pb.Entry {
	var entries []*pb.Entry
	for index := lo; index <= hi; index++ {
		data := fmt.Appendf(nil, "%d/%d", term, index)
		entries = append(entries, &pb.Entry{Term: new(term), Index: new(index), Data: data})
	}
	return entries
}

// HardState makes a hard state.
func HardState(term, vote, commit uint64) *pb.HardState {
	return &pb.HardState{Term: new(term), Vote: new(vote), Commit: new(commit)}
}

// Position makes the position of a snapshot, with these voters.
func Position(index, term uint64, voters ...uint64) *pb.SnapshotMetadata {
	return &pb.SnapshotMetadata{Index: new(index), Term: new(term), ConfState: &pb.ConfState{Voters: voters}}
}

// Describe writes down all that b has of a repository: two stores that describe it
// alike hold the same.
func Describe(b Backend, repo identity.RepoID) (string, error) {
	l, err := b.Log(repo)
	if err != nil {
		return "", err
	}
	hard, conf, err := l.InitialState()
	if err != nil {
		return "", err
	}
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	before, err := l.Term(first - 1)
	if err != nil {
		return "", fmt.Errorf("term of %d: %w", first-1, err)
	}
	s := fmt.Sprintf("hard (%d %d %d) conf %v%v log %d after term %d:", hard.GetTerm(), hard.GetVote(), hard.GetCommit(),
		conf.GetVoters(), conf.GetLearners(), first, before)
	if last >= first {
		entries, err := l.Entries(first, last+1, 1<<62)
		if err != nil {
			return "", fmt.Errorf("entries %d to %d: %w", first, last, err)
		}
		for i, e := range entries {
			if term, err := l.Term(first + uint64(i)); err != nil || term != e.GetTerm() {
				return "", fmt.Errorf("term of %d: %d, %w; the entry's is %d", first+uint64(i), term, err, e.GetTerm())
			}
			s += fmt.Sprintf(" %d:%d:%v:%.20q", e.GetIndex(), e.GetTerm(), e.GetType(), e.GetData())
		}
		if n := last + 1 - first; uint64(len(entries)) != n {
			return "", fmt.Errorf("%d entries, want %d", len(entries), n)
		}
	}
	s += " table:"
	err = b.Table(repo, func(key string, value []byte) error {
		s += fmt.Sprintf(" %q=%.20q/%d", key, value, len(value))
		return nil
	})
	return s, err
}

// expect checks a repository, now and after it was opened again.
func (f *fixture) expect(repo identity.RepoID, want string) {
	f.Helper()
	for _, when := range []string{"at once", "opened again"} {
		got, err := Describe(f.Backend, repo)
		if err != nil || got != want {
			f.Fatalf("%s:\n got %s\nwant %s\nerror %v", when, got, want, err)
		}
		f.reopen()
	}
}
