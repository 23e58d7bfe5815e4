package node_test

import (
	"fmt"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// TestDefaultBranch makes branches the default one that are there, in whatever part of a
// long listing, and one that is not.
func TestDefaultBranch(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{DefaultBranch: "refs/heads/main"})
	if g.DefaultBranch != main {
		t.Fatalf("founded with %s", g.DefaultBranch)
	}
	client, n := c.Client(g), c.Members[0].Node
	first := sha1.File(1, 100)
	var moves []*wire.Operation
	for i := range 1200 {
		moves = append(moves, nodetest.Move(fmt.Sprintf("refs/heads/%04d", i), git.OID{}, first.OID))
	}
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, moves...))
	for _, tt := range []struct {
		branch string
		unborn bool
	}{{"refs/heads/0000", false}, {"refs/heads/next", true}, {"refs/heads/0600", false}, {"refs/heads/1199", false}, {main, true}} {
		info, _, err := n.SetHead(deadline(t), g.Repo, tt.branch)
		if err != nil || info.Unborn != tt.unborn || info.Head != tt.branch {
			t.Errorf("%s: HEAD %s, unborn %v: %v", tt.branch, info.Head, info.Unborn, err)
		}
	}
	for name, want := range map[string]string{
		"main": main, main: main, "a/b": "refs/heads/a/b", "heads/x": "refs/heads/heads/x",
		"refs/tags/v1": "", "refs/heads/": "", "refs/": "", "": "", "HEAD": "", "refs/heads/HEAD": "", "-x": "", "a..b": "", "refs": "refs/heads/refs",
	} {
		got, err := node.BranchRef(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
}
