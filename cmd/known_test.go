package cmd

import (
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// A home without a node remembers private repositories, and nothing else.
func TestKnownGeneses(t *testing.T) {
	key := identity.KeyFromSeed([32]byte{1})
	k := knownGeneses{filepath.Join(t.TempDir(), knownDir)}
	for _, private := range []bool{true, false} {
		g, err := replica.NewGenesis(key, &wire.Genesis{
			Name: map[bool]string{true: "private", false: "public"}[private], ObjectFormat: replica.SHA1, DefaultBranch: "refs/heads/main", Private: private,
			Members: []*wire.Member{{RaftId: 1, Peer: []byte(key.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
		})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := proto.Marshal(g.Signed)
		if err != nil {
			t.Fatal(err)
		}
		name := "genesis/" + g.Repo.String()
		if _, ok, err := k.Get(name); ok || err != nil {
			t.Errorf("known before: %v, %v", ok, err)
		}
		if err := k.Put(name, raw); err != nil {
			t.Fatal(err)
		}
		if got, ok, err := k.Get(name); ok != private || err != nil || private && string(got) != string(raw) {
			t.Errorf("private %v: %x, %v, %v", private, got, ok, err)
		}
		for _, other := range []string{"genesis/../../x", "seats/x", "genesis/"} {
			if err := k.Put(other, raw); err != nil {
				t.Errorf("%s: %v", other, err)
			}
		}
	}
	files, err := os.ReadDir(k.dir)
	if err != nil || len(files) != 1 {
		t.Errorf("%v, %v", files, err)
	}
	if err := k.Put("genesis/x", []byte("garbage")); err == nil {
		t.Error("garbage is kept")
	}
}
