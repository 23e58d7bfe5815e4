package node

import (
	"crypto/sha256"
	"errors"
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
