package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"

	"peer/identity"
	"peer/wire"
)

// What an older program staged is found under the name that it has now.
func TestOldStagedPayload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := openStaging(dir, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	signer, id, idx := []byte("signer"), []byte("id"), []byte("idx")
	pack := []byte("pack")
	packSum, idxSum := sha256.Sum256(pack), sha256.Sum256(idx)
	p := &wire.Payload{
		Name: "0123456789012345678901234567890123456789", PackSize: uint64(len(pack)), PackSha256: packSum[:],
		IdxSize: uint64(len(idx)), IdxSha256: idxSum[:],
	}
	a, err := s.begin(identity.PeerID("member"), signer, id, nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.writePack(pack), a.writeIdx(idx), a.finish(p)); err != nil {
		t.Fatal(err)
	}
	key := stageKey(signer, id)
	if err := os.Rename(s.path(stageDir(key, p), ""), s.path(oldStageDir(key, p), "")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and once more, when it has its name
		if s, err = openStaging(dir, func(string) {}); err != nil {
			t.Fatal(err)
		}
		if err := s.sweep(nil); err != nil {
			t.Fatal(err)
		}
		if !s.Held(signer, id, p) {
			t.Error("it is not held")
		}
		path, _, ok := s.files(signer, id, p)
		if got, err := os.ReadFile(path); !ok || err != nil || string(got) != string(pack) {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// What was published goes, and whatever else came for the same signed bytes. Other
// bytes under the same ID keep theirs.
func TestStagingDrop(t *testing.T) {
	t.Parallel()
	s, err := openStaging(t.TempDir(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	signer, id := []byte("signer"), []byte("id")
	empty := sha256.Sum256(nil)
	stage := func(n int, from identity.PeerID, txSum string) *wire.Payload {
		t.Helper()
		p := &wire.Payload{Name: fmt.Sprintf("%040x", n), PackSha256: empty[:], IdxSha256: empty[:]}
		var tx []byte
		if txSum != "" {
			tx = []byte(txSum)
		}
		a, err := s.begin(from, signer, id, tx, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.finish(p); err != nil {
			t.Fatal(err)
		}
		return p
	}
	fetched, sent, checked := stage(1, "member", ""), stage(2, "member", "these"), stage(3, "", "these")
	other, fetchedOther, checkedOther := stage(4, "member", "others"), stage(5, "member", ""), stage(6, "", "others")
	stage(6, "member", "these") // says a member; it was checked here for others
	s.markPresent(signer, id, other.GetName())
	if err := s.drop(signer, id, []byte("these"), fetched); err != nil {
		t.Fatal(err)
	}
	for p, want := range map[*wire.Payload]bool{fetched: false, sent: false, checked: false, other: true, fetchedOther: true, checkedOther: true} {
		if _, _, here := s.files(signer, id, p); here != want {
			t.Errorf("%s is here: %v, want %v", p.GetName(), here, want)
		}
	}
	if err := s.drop(signer, id, nil, other); err != nil {
		t.Fatal(err)
	}
	if s.Held(signer, id, other) || !s.Held(signer, id, fetchedOther) {
		t.Error("dropped another one")
	}
}
