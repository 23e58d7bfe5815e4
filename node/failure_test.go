package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// Whoever is refused learns what failed, and not where this machine keeps its files.
func TestFailuresKeepPathsToThemselves(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 1)
	c.Converge(g) // and all is published
	m := c.Members[0]
	if err := os.Rename(filepath.Join(m.RepoDir(g), "objects"), filepath.Join(m.RepoDir(g), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	change := sha1.File(20, 100, at)
	_, err := client.Once(deadline(t), m.ID, client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID)))
	var refusal *node.FailureError
	if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_INTERNAL {
		t.Fatalf("no failure inside: %v", err)
	}
	said := refusal.F.GetMessage() + refusal.F.GetHint()
	if strings.Contains(said, m.Repos) || strings.Contains(said, filepath.Dir(m.Repos)) || !strings.Contains(said, "…/") {
		t.Errorf("it says %q", said)
	}
}

func TestWithoutPaths(t *testing.T) {
	for text, want := range map[string]string{
		"open /root/a b/x: no such file":                      "open …/a b/x: no such file",
		"open /home/ann/.peer/repos/x/packed-refs: denied":    "open …/packed-refs: denied",
		"repository /srv/r.git: read '/srv/r.git/HEAD'":       "repository …/r.git: read '…/HEAD'",
		"dir=/a/b (/c/d)":                                     "dir=…/b (…/d)",
		"push to peer://did:key:z6/demo of refs/heads/x: 1/2": "push to peer://did:key:z6/demo of refs/heads/x: 1/2",
	} {
		if got := node.WithoutPaths(errors.New(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
