package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/replica"
)

func open(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func entries(term, lo, hi uint64, size int) []*pb.Entry {
	var all []*pb.Entry
	for index := lo; index <= hi; index++ {
		data := bytes.Repeat(fmt.Appendf(nil, "%d/%d ", term, index), size/4+1)[:size]
		all = append(all, &pb.Entry{Term: new(term), Index: new(index), Data: data})
	}
	return all
}

func hardState(term, commit uint64) *pb.HardState {
	return &pb.HardState{Term: new(term), Vote: new(uint64(1)), Commit: new(commit)}
}

var errCut = errors.New("cut here")

// cutAfter lets n more transactions pass, and fails the one after them.
func cutAfter(s *Store, n int) {
	s.beforeCommit = func(*batch) error {
		if n--; n < 0 {
			return errCut
		}
		return nil
	}
}

// waitUntil polls a condition.
func waitUntil(t *testing.T, what string, met func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func keysWith(t *testing.T, s *Store, prefix ...byte) (n int) {
	t.Helper()
	if err := s.scan(prefix, func([]byte, []byte) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// checkLog reads all of a log and says what it is.
func checkLog(t *testing.T, s *Store, repo identity.RepoID) (first, last, lastTerm, commit uint64) {
	t.Helper()
	l, err := s.Log(repo)
	if err != nil {
		t.Fatal(err)
	}
	hs, _, _ := l.InitialState()
	first, _ = l.FirstIndex()
	last, _ = l.LastIndex()
	term, err := l.Term(first - 1)
	if err != nil {
		t.Fatal(err)
	}
	if last >= first {
		all, err := l.Entries(first, last+1, 1<<62)
		if err != nil || uint64(len(all)) != last+1-first {
			t.Fatalf("entries %d to %d: %d, %v", first, last, len(all), err)
		}
		for i, e := range all {
			if e.GetIndex() != first+uint64(i) || e.GetTerm() < term {
				t.Fatalf("entry %d of term %d stands at %d after term %d", e.GetIndex(), e.GetTerm(), first+uint64(i), term)
			}
			term = e.GetTerm()
			if prefix := fmt.Sprintf("%d/%d ", term, e.GetIndex()); len(e.GetData()) > 20 && !strings.HasPrefix(string(e.GetData()), prefix) {
				t.Fatalf("entry %d of term %d holds %.20q", e.GetIndex(), term, e.GetData())
			}
		}
	}
	if hs.GetCommit() > last {
		t.Fatalf("commit index %d beyond the last entry, %d", hs.GetCommit(), last)
	}
	return first, last, term, hs.GetCommit()
}

func tableOf(t *testing.T, s *Store, repo identity.RepoID) map[string]string {
	t.Helper()
	table := map[string]string{}
	if err := s.Table(repo, func(key string, value []byte) error {
		table[key] = string(value)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return table
}

// TestCutTurn cuts a turn far above badger's limit after each of its transactions.
func TestCutTurn(t *testing.T) {
	const size = 1000 // below valueThreshold, so that badger counts it
	a, b := identity.RepoID{1}, identity.RepoID{2}
	turn := []replica.Save{
		{Repo: a, Entries: entries(2, 51, 10_000, size), HardState: hardState(2, 9_000), CompactTo: 60,
			Table: []replica.Change{{Key: "applied", Value: []byte("9000")}}},
		{Repo: b, Entries: entries(5, 1, 10_000, size), HardState: hardState(5, 10_000),
			Table: []replica.Change{{Key: "applied", Value: []byte("10000")}}},
	}
	for cut := 0; ; cut++ {
		dir := t.TempDir()
		s := open(t, dir)
		// Longer than what replaces it, and that is longer than a transaction.
		before := replica.Save{Repo: a, Entries: entries(1, 1, 12_000, size), HardState: hardState(1, 50),
			Table: []replica.Change{{Key: "applied", Value: []byte("50")}}}
		if err := s.Save([]replica.Save{before}); err != nil {
			t.Fatal(err)
		}
		cutAfter(s, cut)
		err := s.Save(turn)
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
		var rest []replica.Save // what the cut took
		_, last, _, commit := checkLog(t, s, a)
		if commit == 50 {
			rest = append(rest, turn[0])
		}
		switch applied := tableOf(t, s, a)["applied"]; {
		case applied == "50" && commit == 50 && last >= 50:
		case applied == "9000" && commit == 9_000 && last == 10_000:
		default:
			t.Fatalf("cut %d: applied %s, commit %d, last %d", cut, applied, commit, last)
		}
		_, last, _, commit = checkLog(t, s, b)
		if commit == 0 {
			rest = append(rest, turn[1])
		}
		if applied := tableOf(t, s, b)["applied"]; (commit == 10_000) != (applied == "10000") || commit != 0 && last != 10_000 {
			t.Fatalf("cut %d: applied %q, commit %d, last %d", cut, applied, commit, last)
		}
		if err == nil {
			if cut < 3 {
				t.Errorf("the turn went in %d transactions, want at least 3 for 20 MB", cut)
			}
			_ = s.Close()
			return
		}
		if err := s.Save(rest); err != nil || len(rest) == 0 {
			t.Fatalf("cut %d: the other %d once more: %v", cut, len(rest), err)
		}
		_ = s.Close()
	}
}

// TestCutInstall cuts the installing of a table that is larger than a transaction.
func TestCutInstall(t *testing.T) {
	repo := identity.RepoID{1}
	var table []replica.Change
	for i := range 30_000 {
		table = append(table, replica.Change{Key: fmt.Sprintf("new/%05d", i), Value: make([]byte, 900)})
	}
	install := replica.Save{
		Repo: repo, HardState: hardState(3, 1_000_000), Table: table, Entries: entries(3, 1_000_001, 1_000_002, 100),
		Install: &pb.SnapshotMetadata{Index: new(uint64(1_000_000)), Term: new(uint64(3)), ConfState: &pb.ConfState{Voters: []uint64{7}}},
	}
	for cut := 0; ; cut++ {
		dir := t.TempDir()
		s := open(t, dir)
		before := replica.Save{Repo: repo, Entries: entries(1, 1, 100, 10), HardState: hardState(1, 50),
			Table: []replica.Change{{Key: "old", Value: []byte("1")}}}
		if err := s.Save([]replica.Save{before}); err != nil {
			t.Fatal(err)
		}
		cutAfter(s, cut)
		err := s.Save([]replica.Save{install})
		if err != nil && !errors.Is(err, errCut) {
			t.Fatal(err)
		}
		_ = s.Close()
		s = open(t, dir)
		first, last, _, commit := checkLog(t, s, repo)
		found := tableOf(t, s, repo)
		switch {
		case err != nil && first == 1 && last == 100 && commit == 50 && len(found) == 1 && found["old"] == "1":
		case err == nil && first == 1_000_001 && last == 1_000_002 && commit == 1_000_000 && len(found) == 30_000:
		default:
			t.Fatalf("cut %d, error %v: log %d to %d, commit %d, %d keys", cut, err, first, last, commit, len(found))
		}
		// Whatever was left over goes, and nothing else.
		waitUntil(t, "sweep", func() bool { return keysWith(t, s, prefixGarbage) == 0 })
		if n, want := keysWith(t, s, prefixData), len(found)+int(last-first+1); n != want {
			t.Fatalf("cut %d: %d keys after the sweep, want %d", cut, n, want)
		}
		if err == nil {
			if cut < 3 {
				t.Errorf("the install went in %d transactions, want at least 3 for 27 MB", cut)
			}
			return
		}
		if cut == 1 {
			if err := s.Save([]replica.Save{install}); err != nil { // beside what was left over
				t.Fatal(err)
			}
			if n := len(tableOf(t, s, repo)); n != 30_000 {
				t.Fatalf("%d keys after the second attempt", n)
			}
		}
		_ = s.Close()
	}
}

// TestCutCompaction looks at what is deleted of a log that forgets.
func TestCutCompaction(t *testing.T) {
	repo := identity.RepoID{1}
	dir := t.TempDir()
	s := open(t, dir)
	for _, save := range []replica.Save{
		{Repo: repo, Entries: entries(1, 1, 9000, 10), HardState: hardState(1, 9000)},
		{Repo: repo, CompactTo: 8000},
	} {
		if err := s.Save([]replica.Save{save}); err != nil {
			t.Fatal(err)
		}
	}
	remain := func(n int) func() bool {
		return func() bool { return keysWith(t, s, dataPrefix(1, kindEntry)...) == n }
	}
	waitUntil(t, "trim", remain(1000))
	if err := s.Save([]replica.Save{{Repo: repo, CompactTo: 8100}}); err != nil { // too few to bother
		t.Fatal(err)
	}
	_ = s.Close()
	s = open(t, dir)
	if first, last, _, _ := checkLog(t, s, repo); first != 8101 || last != 9000 {
		t.Errorf("log %d to %d, want 8101 to 9000", first, last)
	}
	if err := s.sweep(1); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "trim of the rest", remain(900))
	if err := s.DropRepo(repo); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "drop", func() bool { return keysWith(t, s) == 1 }) // the format version
}

// TestSaveWhileReading runs what the node runs side by side.
func TestSaveWhileReading(t *testing.T) {
	s := open(t, t.TempDir())
	repo, other := identity.RepoID{1}, identity.RepoID{2}
	stop, done := make(chan struct{}), make(chan error, 2)
	install := func(round uint64) error {
		save := replica.Save{Repo: repo, HardState: hardState(1, round), Install: &pb.SnapshotMetadata{Index: new(round), Term: new(uint64(1))}}
		for k := range 50 {
			save.Table = append(save.Table, replica.Change{Key: fmt.Sprint(k), Value: fmt.Append(nil, round)})
		}
		return s.Save([]replica.Save{save})
	}
	if err := install(1); err != nil {
		t.Fatal(err)
	}
	go func() { // a table is always of one Save, even while it is replaced
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			table := map[string]int{}
			err := s.Table(repo, func(_ string, value []byte) error { table[string(value)]++; return nil })
			if err == nil && len(table) != 1 {
				err = fmt.Errorf("the table is of %d saves: %v", len(table), table)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	go func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := s.Put(fmt.Sprint(rng.IntN(9)), make([]byte, rng.IntN(3000))); err != nil {
				done <- err
				return
			}
			if _, _, err := s.Get(fmt.Sprint(rng.IntN(9))); err != nil {
				done <- err
				return
			}
		}
	}()
	for round := uint64(2); round < 150; round++ {
		if err := install(round); err != nil {
			t.Fatal(err)
		}
		if err := s.Save([]replica.Save{{Repo: other, Entries: entries(1, round-1, round-1, 2000)}}); err != nil {
			t.Fatal(err)
		}
		checkLog(t, s, other)
	}
	close(stop)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
