package store

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
)

// FuzzDecode: stored bytes give an error or a value that is stored as the same
// bytes, and never a panic.
func FuzzDecode(f *testing.F) {
	f.Add(entryKey(3, 9), append(entryHeader(entries(4, 9, 9, 0)[0]), "data"...))
	f.Add(repoKey(prefixHead, identity.RepoID{1}), head{1, 2, 3}.encode())
	f.Add(repoKey(prefixHard, identity.RepoID{1}), encodeHardState(hardState(1, 2)))
	conf, _ := encodeConfState(&pb.ConfState{Voters: []uint64{1, 2}, AutoLeave: new(true)})
	f.Add(repoKey(prefixConf, identity.RepoID{1}), conf)
	f.Add(repoKey(prefixSeat, identity.RepoID{1}), seat{[]byte("nonce"), time.Unix(9, 9)}.encode())
	f.Add(generationKey(prefixTrimmed, 7), encodeUint64(8))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, body []byte) {
		if repo, err := parseRepoKey(key); err == nil && !bytes.Equal(repoKey(key[0], repo), key) {
			t.Error("repository key")
		}
		if g, err := parseGenerationKey(key); err == nil && !bytes.Equal(generationKey(key[0], g), key) {
			t.Error("generation key")
		}
		if g, index, err := parseEntryKey(key); err == nil && !bytes.Equal(entryKey(g, index), key) {
			t.Error("entry key")
		}
		if e, err := decodeEntry(key, body); err == nil && !bytes.Equal(append(entryHeader(e), e.GetData()...), body) {
			t.Error("entry")
		}
		if h, err := decodeHead(key, body); err == nil && !bytes.Equal(h.encode(), body) {
			t.Error("head")
		}
		if hs, err := decodeHardState(key, body); err == nil && !bytes.Equal(encodeHardState(hs), body) {
			t.Error("hard state")
		}
		if n, err := decodeUint64(key, body); err == nil && !bytes.Equal(encodeUint64(n), body) {
			t.Error("number")
		}
		if at, err := decodeSeat(key, body); err == nil && !bytes.Equal(at.encode(), body) {
			t.Error("seat")
		}
		if cs, err := decodeConfState(key, body); err == nil { // protobuf has many spellings of one message
			again, err := encodeConfState(cs)
			if err != nil {
				t.Fatal(err)
			}
			if other, err := decodeConfState(key, again); err != nil || !proto.Equal(cs, other) {
				t.Errorf("configuration: %v, %v", other, err)
			}
		}
		if got, err := unseal(key, seal(key, body)); err != nil || !bytes.Equal(got, body) {
			t.Errorf("sealed body: %v", err)
		}
		if _, err := unseal(key, body); err == nil && len(body) < checksumSize {
			t.Error("a value without a checksum was taken")
		}
	})
}

func TestSealBindsKey(t *testing.T) {
	value := seal([]byte("a"), []byte("bo"), []byte("dy"))
	if body, err := unseal([]byte("a"), value); err != nil || string(body) != "body" {
		t.Errorf("body %q, %v", body, err)
	}
	for i := range value {
		value[i] ^= 4
		if _, err := unseal([]byte("a"), value); err == nil {
			t.Errorf("byte %d flipped: taken", i)
		}
		value[i] ^= 4
	}
	if _, err := unseal([]byte("b"), value); err == nil {
		t.Error("another key's value was taken")
	}
}

// damaged makes a store with something of everything, closed.
func damaged(t *testing.T) (dir string, repo identity.RepoID) {
	t.Helper()
	dir, repo = t.TempDir(), identity.RepoID{1}
	s := open(t, dir)
	save := replica.Save{
		Repo: repo, Entries: entries(1, 1, 20, 3000), HardState: hardState(1, 20), CompactTo: 2,
		Conf: &pb.ConfState{Voters: []uint64{1}}, Table: []replica.Change{{Key: "k", Value: make([]byte, 5000)}},
	}
	if err := s.Save([]replica.Save{save}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSeat(repo, []byte("nonce"), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, repo
}

// readAll reads everything of a store, and says where it stopped.
func readAll(dir string, repo identity.RepoID) error {
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	l, err := s.Log(repo)
	if err != nil {
		return err
	}
	first, _ := l.FirstIndex()
	last, _ := l.LastIndex()
	if first != 3 || last != 20 {
		return corrupt(nil, "the log has another size")
	}
	for index := first; index <= last; index++ {
		if _, err := l.Entries(index, index+1, 0); err != nil {
			return err
		}
	}
	if _, err := l.Entries(first, last+1, 1<<62); err != nil {
		return err
	}
	if err := s.Table(repo, func(string, []byte) error { return nil }); err != nil {
		return err
	}
	_, ok, err := s.Seat(repo)
	if err == nil && !ok {
		return corrupt(nil, "the seat is gone")
	}
	return err
}

func TestDamagedValues(t *testing.T) {
	repo := identity.RepoID{1}
	for name, key := range map[string][]byte{
		"head": repoKey(prefixHead, repo), "hard state": repoKey(prefixHard, repo), "conf": repoKey(prefixConf, repo),
		"seat": repoKey(prefixSeat, repo), "first": entryKey(1, 3), "entry": entryKey(1, 7), "last": entryKey(1, 20),
		"table": tableKey(1, "k"), "trimmed": generationKey(prefixTrimmed, 1),
	} {
		for how, value := range map[string][]byte{
			"empty": {}, "short": {1}, "not sealed": []byte("something else"), "sealed nonsense": seal(key, []byte("x")),
		} {
			if name == "table" && how == "sealed nonsense" {
				continue // a table may hold anything
			}
			dir, _ := damaged(t)
			raw(t, dir, func(txn *badger.Txn) error { return txn.Set(key, value) })
			if err := readAll(dir, repo); err == nil {
				t.Errorf("%s, %s: read without an error", name, how)
			}
		}
		if name == "first" || name == "entry" || name == "head" {
			dir, _ := damaged(t)
			raw(t, dir, func(txn *badger.Txn) error { return txn.Delete(key) })
			if err := readAll(dir, repo); err == nil {
				t.Errorf("%s deleted: read without an error", name)
			}
		}
	}
	dir, _ := damaged(t)
	if err := readAll(dir, repo); err != nil {
		t.Errorf("undamaged: %v", err)
	}
}

// TestDamagedFiles flips bytes in badger's files.
func TestDamagedFiles(t *testing.T) {
	dir, repo := damaged(t)
	files, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		whole = bytes.TrimRight(whole, "\x00")
		ext := filepath.Ext(file)
		if ext != ".sst" && ext != ".vlog" || len(whole) < 100 {
			continue
		}
		for _, at := range []int{len(whole) / 4, len(whole) / 2, len(whole) * 3 / 4} {
			copied := t.TempDir()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			damaged := bytes.Clone(whole)
			damaged[at] ^= 0x55
			if err := os.WriteFile(filepath.Join(copied, filepath.Base(file)), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := readAll(copied, repo); err != nil {
				found++
			} else {
				t.Errorf("%s, byte %d of %d flipped: read without an error", filepath.Base(file), at, len(whole))
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d cases", found)
	}
}
