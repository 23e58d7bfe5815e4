package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// What arrives counts as soon as it is here, so that pushes at the same time don't
// each take what is left.
func TestIntakes(t *testing.T) {
	t.Parallel()
	repo, err := git.Create(t.Context(), filepath.Join(t.TempDir(), "r.git"), git.SHA1, "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	staging, err := openStaging(repo.Dir(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	key := identity.KeyFromSeed([32]byte{1})
	n := &Node{self: key.PeerID(), cfg: Config{ReposDir: t.TempDir(), RepoBytesMax: 1000, FreeBytesMin: 1}}
	g := &group{n: n, repo: repo, staging: staging, genesis: &replica.Genesis{Name: "demo"}}
	takes := func(in *intake, bytes int64, want bool) {
		t.Helper()
		err := in.upTo(bytes)
		if (err == nil) != want {
			t.Errorf("%d bytes beside %d: %v", bytes, g.growth.bytes, err)
		}
		if refusal := new(FailureError); err != nil && (!errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_DISK) {
			t.Errorf("refused with %v", err)
		}
	}
	var one, two, three intake
	one.g, two.g, three.g = g, g, g
	takes(&one, 600, true)
	takes(&two, 401, false)
	takes(&two, 300, true)
	takes(&one, 700, true)
	takes(&one, 701, false)
	takes(&one, 100, true) // less than it was asked for
	takes(&three, 1, false)
	one.end()
	takes(&three, 700, true)
	two.end()
	two.end()
	takes(&three, 1000, true)
	three.end()

	// What is staged counts once, also while the store has it as well.
	const name = "0123456789012345678901234567890123456789"
	a, err := staging.begin("", []byte("signer"), nil, nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.writePack(make([]byte, 500)), a.writeIdx(make([]byte, 200))); err != nil {
		t.Fatal(err)
	}
	packSum, _ := sumFile(a.pack)
	idxSum, _ := sumFile(a.idx)
	if err := a.finish(&wire.Payload{Name: name, PackSize: 500, IdxSize: 200, PackSha256: packSum, IdxSha256: idxSum}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		takes(&one, 301, false)
		takes(&one, 300, true)
		one.end()
		for path, size := range map[string]int{repo.PackPath(name): 500, repo.IdxPath(name): 200} {
			if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	n.cfg.RepoBytesMax = 0
	takes(&one, 1<<60, true)
}
