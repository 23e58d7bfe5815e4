package cmd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peer/identity"
	"peer/node/gitd"
	"peer/node/store"
)

// TestGitdAddsNoPins has strangers ask the git daemon for a repository that its home has
// not met, and then for one that it has. Neither may go back.
func TestGitdAddsNoPins(t *testing.T) {
	t.Parallel()
	f, _ := started(t)
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &gitBackend{home: home, dialer: socketDialer(f.socket), key: testUser}
	demo := identity.Address{Owner: f.owner.Public(), Name: "demo"}
	ask := func(index uint64) error {
		f.hook(func() { f.index = index })
		s, err := b.Open(t.Context(), demo, gitd.UploadPack, 2)
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	file := func() string {
		raw, err := os.ReadFile(pins{home.Dir}.path())
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(raw)
	}
	mine := testGenesis(testOwner, "mine", 1)
	if err := (pins{home.Dir}).remember(t.Context(), mine.Repo, "mine", mine.Hash, 1); err != nil {
		t.Fatal(err)
	}
	before, first := file(), f.genesis
	if err := ask(7); err != nil {
		t.Fatal(err)
	}
	if err := ask(6); err == nil || !strings.Contains(err.Error(), "it answers from index 6, but index 7 was seen") || hintOf(err) != gitdPinHint {
		t.Errorf("an older answer: %v, hint %q", err, hintOf(err))
	}
	other := f.newGenesis("sha1")
	f.hook(func() { f.genesis = other })
	if err := ask(8); err == nil || !strings.Contains(err.Error(), "two geneses") {
		t.Errorf("another genesis: %v", err)
	}
	f.hook(func() { f.genesis = first })
	if err := ask(8); err != nil {
		t.Error(err)
	}
	if after := file(); after != before {
		t.Errorf("the pins of the home were\n%s\nand are\n%s", before, after)
	}

	// What the home knows, it knows better by what the daemon sees.
	if err := (pins{home.Dir}).remember(t.Context(), first.Repo, "demo", first.Hash, 9); err != nil {
		t.Fatal(err)
	}
	if err := ask(8); err == nil || !strings.Contains(err.Error(), "index 9 was seen") {
		t.Errorf("an answer from before the home's pin: %v", err)
	}
	if err := ask(10); err != nil {
		t.Error(err)
	}
	if have, err := (pins{home.Dir}).lookup(first.Repo); err != nil || have.SeenIndex != 10 {
		t.Errorf("the pin is %v, %v", have, err)
	}
}

// TestGitdPinsMax has the git daemon meet more repositories than it remembers.
func TestGitdPinsMax(t *testing.T) {
	t.Parallel()
	p := new(gitdPins)
	id := func(n int) (repo identity.RepoID) {
		binary.BigEndian.PutUint64(repo[:], uint64(n))
		return repo
	}
	for n := range gitdPinsMax + 100 {
		if err := p.remember(id(n), "x", identity.GenesisHash{1}, uint64(n)); err != nil {
			t.Fatal(err)
		}
		if n%1000 == 0 {
			p.lookup(id(0)) // somebody comes back to it
		}
	}
	for n, want := range map[int]uint64{0: 0, 1: 0, 100: 0, 101: 101, gitdPinsMax + 99: gitdPinsMax + 99} {
		have := p.lookup(id(n))
		if have.SeenIndex != want || (have.Genesis != "") != (n == 0 || n > 100) || !have.ofGitd {
			t.Errorf("repository %d: %v", n, have)
		}
	}
	if len(p.of) != gitdPinsMax || p.last.Len() != gitdPinsMax {
		t.Errorf("%d and %d pins are remembered", len(p.of), p.last.Len())
	}
}

// TestGitdCacheMax has the git daemon's client find more repositories than are kept.
func TestGitdCacheMax(t *testing.T) {
	t.Parallel()
	s, err := store.Open(store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	stored := func() (n int) {
		if err := s.Scan(gitdCachePrefix, func(string, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, limit := range []int{3, 2} { // there may be more from before
		c, err := openGitdCache(s, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a", "b", "c", "d", "d", "e"} {
			if err := c.Put(key, []byte(key)); err != nil {
				t.Fatal(err)
			}
			if value, ok, err := c.Get(key); !ok || err != nil || string(value) != key {
				t.Errorf("%s is %q, %v, %v", key, value, ok, err)
			}
			if n := stored(); n > limit || n != len(c.keys) {
				t.Errorf("%d are stored, and %d known, of %d at most", n, len(c.keys), limit)
			}
		}
	}
}

// TestPinsOfMany is a home that has met 20,000 repositories.
func TestPinsOfMany(t *testing.T) {
	t.Parallel()
	p := pins{t.TempDir()}
	vouched := &vouchedPin{Index: 1 << 40, Chain: strings.Repeat("c", 64), Refs: strings.Repeat("d", 64), Generation: 9, Configuration: strings.Repeat("e", 64), Policy: 1000, KeptSince: 1 << 40}
	file := pinned{Version: pinsVersion, Repos: map[string]pin{}}
	var last identity.RepoID
	for n := range 20_000 {
		binary.BigEndian.PutUint64(last[:], uint64(n))
		file.Repos[last.String()] = pin{Genesis: strings.Repeat("0", 64), SeenIndex: 1 << 40, Name: strings.Repeat("n", 100), Vouched: vouched}
	}
	if err := p.write(file); err != nil {
		t.Fatal(err)
	}
	g := testGenesis(testOwner, "demo", 1)
	if err := p.remember(t.Context(), g.Repo, "demo", g.Hash, 7); err != nil {
		t.Fatal(err)
	}
	if have, err := p.lookup(g.Repo); err != nil || have.SeenIndex != 7 {
		t.Errorf("the new one is %v, %v", have, err)
	}
	if have, err := p.lookup(last); err != nil || have.SeenIndex != 1<<40 {
		t.Errorf("the last one is %v, %v", have, err)
	}
}

// TestLargeFiles has files be larger than they are read. That is said, and they stay.
func TestLargeFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.json")
	if err := writeJSON(path, "old"); err != nil {
		t.Fatal(err)
	}
	var large *fileTooLarge
	err := writeJSON(path, strings.Repeat("x", jsonBytesMax))
	if !errors.As(err, &large) || !strings.Contains(err.Error(), path+": larger than 4 MiB") {
		t.Errorf("too much is written: %v", err)
	}
	var have string
	if err := readJSON(path, &have); err != nil || have != "old" {
		t.Errorf("the file became %.10q, %v", have, err)
	}
	if err := writeJSON(path, strings.Repeat("x", jsonBytesMax-3)); err != nil {
		t.Error(err)
	}
	if err := readJSON(path, &have); err != nil || len(have) != jsonBytesMax-3 {
		t.Errorf("%d bytes were read, %v", len(have), err)
	}
	if err := os.WriteFile(path, bytes.Repeat([]byte{' '}, jsonBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := readJSON(path, &have); !errors.As(err, &large) || !strings.Contains(err.Error(), path+": larger than 4 MiB") {
		t.Errorf("too much is read: %v", err)
	}
	p := pins{t.TempDir()}
	if err := os.WriteFile(p.path(), bytes.Repeat([]byte{' '}, pinsBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.read(); !errors.As(err, &large) || strings.Contains(hintOf(err), "move it away") {
		t.Errorf("pins that are too large: %v, hint %q", err, hintOf(err))
	}
}
