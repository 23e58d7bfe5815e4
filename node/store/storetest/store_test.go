package storetest_test

import (
	"errors"
	"strings"
	"testing"

	"peer/node/store"
	"peer/node/store/storetest"
	"peer/replica"
)

func TestSuite(t *testing.T) {
	storetest.Suite(t,
		func(*testing.T) storetest.Backend { return storetest.New() },
		func(_ *testing.T, b storetest.Backend) storetest.Backend { return b.(*storetest.Store).Crash() })
}

func save(t *testing.T, s *storetest.Store, saves ...replica.Save) error {
	t.Helper()
	return s.Save(saves)
}

func describe(t *testing.T, s *storetest.Store, n byte) string {
	t.Helper()
	got, err := storetest.Describe(s, storetest.Repo(n))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestFailSave(t *testing.T) {
	one, two := storetest.Repo(1), storetest.Repo(2)
	for _, c := range []struct {
		fate           storetest.Fate
		inOne, inTwo   string
		commitOfSecond string
	}{
		{storetest.Lost, `table:`, `table:`, "hard (0 0 0)"},
		{storetest.Kept, `table: "a"="1"/1`, `1:1:EntryNormal:"1/1" table: "b"="2"/1`, "hard (1 0 1)"},
		{storetest.Torn, `table: "a"="1"/1`, `1:1:EntryNormal:"1/1" table:`, "hard (0 0 0)"},
	} {
		s := storetest.New()
		s.FailSave(2, c.fate)
		if err := save(t, s); err != nil {
			t.Fatal(err)
		}
		turn := []replica.Save{
			{Repo: one, Table: []replica.Change{{Key: "a", Value: []byte("1")}}},
			{Repo: two, Entries: storetest.Entries(1, 1, 1), HardState: storetest.HardState(1, 0, 1),
				Table: []replica.Change{{Key: "b", Value: []byte("2")}}},
		}
		if err := s.Save(turn); !errors.Is(err, storetest.ErrInjected) {
			t.Fatalf("fate %d: %v", c.fate, err)
		}
		err := s.Save(nil)
		if _, ok := errors.AsType[*store.PoisonedError](err); !ok || !errors.Is(err, storetest.ErrInjected) {
			t.Errorf("fate %d: the next save got %v", c.fate, err)
		}
		after := s.Crash()
		if got := describe(t, after, 1); !strings.HasSuffix(got, c.inOne) {
			t.Errorf("fate %d: %s", c.fate, got)
		}
		if got := describe(t, after, 2); !strings.HasSuffix(got, c.inTwo) || !strings.HasPrefix(got, c.commitOfSecond) {
			t.Errorf("fate %d: %s", c.fate, got)
		}
		if err := after.Save(turn[:1]); err != nil {
			t.Errorf("fate %d: after the crash: %v", c.fate, err)
		}
	}
}

func TestLoseUnsynced(t *testing.T) {
	s := storetest.New()
	s.LoseUnsynced = true
	repo := storetest.Repo(1)
	table := func(value string) []replica.Change { return []replica.Change{{Key: "k", Value: []byte(value)}} }
	if err := save(t, s, replica.Save{Repo: repo, Entries: storetest.Entries(1, 1, 4), Table: table("old")}); err != nil {
		t.Fatal(err)
	}
	before := describe(t, s, 1)
	if err := save(t, s, replica.Save{Repo: repo, Entries: storetest.Entries(2, 3, 3), Table: table("new")}); err != nil {
		t.Fatal(err)
	}
	if describe(t, s, 1) == before {
		t.Error("the save can't be seen before the crash")
	}
	if got := describe(t, s.Crash(), 1); got != before {
		t.Errorf("after the crash:\n got %s\nwant %s", got, before)
	}
}
