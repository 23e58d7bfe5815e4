package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"peer/identity"
	"peer/replica"
)

func TestOpenTwice(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := Open(Options{Dir: dir})
	held, ok := errors.AsType[*LockedError](err)
	if !ok || held.PID != fmt.Sprintf("process %d", os.Getpid()) {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestOpenUnusable(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Options{Dir: file}); err == nil {
		t.Error("opened a file as a directory")
	}
}

func TestFormat(t *testing.T) {
	for _, c := range []struct {
		name  string
		key   []byte
		value []byte
		want  string
	}{
		{"newer", formatKey, seal(formatKey, encodeUint64(2)),
			"this home was written by a newer peer (format 2, this binary knows 1): install that version; nothing was changed"},
		{"zero", formatKey, seal(formatKey, encodeUint64(0)), "format version 0 never existed"},
		{"damaged", formatKey, []byte("damaged"), "checksum mismatch"},
		{"strange", []byte("strange"), []byte("value"), "not a store of peer's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if c.name != "strange" {
				_ = open(t, dir).Close()
			}
			raw(t, dir, func(txn *badger.Txn) error { return txn.Set(c.key, c.value) })
			for range 2 { // a refusal changes nothing
				_, err := Open(Options{Dir: dir})
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if _, ok := errors.AsType[*FormatError](err); ok != (c.name == "newer") {
					t.Errorf("%v is a FormatError: %v", err, ok)
				}
			}
		})
	}
}

// raw changes a closed store behind its back.
func raw(t *testing.T, dir string, f func(*badger.Txn) error) {
	t.Helper()
	db, err := badger.Open(badgerOptions(Options{Dir: dir}, &tripwire{log: slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestPoison(t *testing.T) {
	repo := identity.RepoID{1}
	save := []replica.Save{{Repo: repo, Table: []replica.Change{{Key: "k", Value: []byte("v")}}}}
	for _, c := range []struct {
		name string
		harm func(*Store)
		want string
	}{
		{"failed write", func(s *Store) { cutAfter(s, 0) }, "cut here"},
		{"sync that badger only logs", func(s *Store) {
			s.beforeCommit = func(*batch) error { s.trip.Errorf("Error while curlf sync: %v\n", "EIO"); return nil }
		}, "EIO"},
		{"full disk", func(s *Store) { s.freeBytesMin = 1 << 62 }, "free some and start again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if err := s.Put("k", []byte("v")); err != nil {
				t.Fatal(err)
			}
			c.harm(s)
			if err := s.Save(save); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("the save got %v, want %q", err, c.want)
			}
			s.beforeCommit, s.freeBytesMin = func(*batch) error { return nil }, 0 // healed, too late
			for name, err := range map[string]error{
				"save": s.Save(save), "put": s.Put("k", nil), "delete": s.Delete("k"), "drop": s.DropRepo(repo),
				"seat": s.PutSeat(repo, nil, time.Now()), "drop seat": s.DropSeat(repo),
			} {
				if _, ok := errors.AsType[*PoisonedError](err); !ok || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s after it: %v", name, err)
				}
			}
			if v, ok, err := s.Get("k"); string(v) != "v" || !ok || err != nil {
				t.Errorf("reading after it: %q, %v, %v", v, ok, err)
			}
			if got := tableOf(t, s, repo); c.name == "failed write" && len(got) != 0 {
				t.Errorf("a save that failed can be seen: %v", got)
			}
		})
	}
}

// What badger writes when it closes would kill the process on a full disk, or never
// end.
func TestCloseOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.db.Close() })
	s.freeBytesMin = 1 << 62
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if s.db.IsClosed() {
		t.Error("badger was closed")
	}
	if err := s.Put("k", nil); !errors.Is(err, ErrClosed) {
		t.Errorf("a closed store takes a write: %v", err)
	}
}

func TestTripwire(t *testing.T) {
	var out bytes.Buffer
	trip := &tripwire{log: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	trip.Infof("info %d\n", 1)
	trip.Warningf("warning %d", 2)
	trip.Errorf("Unable to read: Key: %v", 3)
	if err := trip.err(); err != nil {
		t.Errorf("tripped by %v", err)
	}
	trip.Errorf("first %d", 4)
	trip.Errorf("second %d", 5)
	if err := trip.err(); err == nil || !strings.Contains(err.Error(), "first 4") {
		t.Errorf("tripped by %v, want the first error", err)
	}
	for _, want := range []string{`level=DEBUG msg=badger message="info 1"`, `level=WARN msg="badger warns" warning="warning 2"`, `error="second 5"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, out.String())
		}
	}
	quiet := &tripwire{log: slog.New(slog.DiscardHandler)}
	if quiet.Debugf("x"); quiet.log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("a discarding logger is enabled")
	}
}

func TestDirSyncer(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	touch := func(at time.Time) {
		if err := os.Chtimes(dir, at, at); err != nil {
			t.Fatal(err)
		}
	}
	d := &dirSyncer{dir: dir}
	touch(old)
	if err := d.sync(); err != nil || !d.clean.Equal(old) {
		t.Errorf("clean as of %v, %v; want %v", d.clean, err, old)
	}
	touch(time.Now()) // may change again without showing
	if err := d.sync(); err != nil || !d.clean.Equal(old) {
		t.Errorf("a directory that just changed counts as clean as of %v, %v", d.clean, err)
	}
	d.dir = dir + "/missing"
	if err := d.sync(); err == nil {
		t.Error("synced a directory that isn't there")
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := open(t, t.TempDir())
	for n := range byte(40) {
		repo := identity.RepoID{n}
		for i := uint64(0); i < 8; i++ {
			if err := s.Save([]replica.Save{{Repo: repo, Entries: entries(1, 10*i+1, 10*i+10, 20<<10)}}); err != nil {
				t.Fatal(err)
			}
		}
		if l := s.logs[repo]; l.bytes > recentBytesMax || l.bytes < recentBytesMax/2 {
			t.Errorf("log %d has %d bytes in memory", n, l.bytes)
		}
		if err := s.Save([]replica.Save{{Repo: repo, Entries: entries(2, 75, 76, 100), CompactTo: 40 + uint64(n%2)*20}}); err != nil {
			t.Fatal(err)
		}
	}
	total := 0
	for repo, l := range s.logs {
		bytes := 0
		for _, e := range l.recent {
			bytes += cost(e)
		}
		if bytes != l.bytes || (len(l.recent) > 0) != (s.cache.where[l] != nil) {
			t.Errorf("log %d: %d bytes, counted %d", repo[0], bytes, l.bytes)
		}
		total += bytes
	}
	if total != s.cache.bytes || total > cacheBytesMax || total < cacheBytesMax/2 {
		t.Errorf("%d bytes in memory, counted %d", total, s.cache.bytes)
	}
	for n := range byte(40) {
		checkLog(t, s, identity.RepoID{n}) // part from memory, part from disk, or all from disk
	}
}
