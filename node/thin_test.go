package node_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// Packs as git itself makes them: thin, with deltas against objects that only
// the replicas have. The leader completes them, and the followers end with the
// same bytes.
func TestThinPacks(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.InlineBytesMax = 8 << 10 })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)

	base := make([]byte, 300_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(base) // never fails
	first := commitOf(map[string][]byte{"file": base})
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))

	edited := bytes.Clone(base)
	copy(edited[1000:], "an edit")
	other := make([]byte, 200_000)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(other) // never fails
	for name, next := range map[string]nodetest.Change{
		// What is sent is small, and what it becomes rides in no entry.
		"small": commitOf(map[string][]byte{"file": edited}, first.OID),
		// What is sent streams to the followers, who are then told what changed.
		"large": commitOf(map[string][]byte{"file": edited, "other": other}, first.OID),
	} {
		thin := thinPack(t, first, next)
		if full := len(next.Pack(sha1)); len(thin) > full-200_000 {
			t.Fatalf("%s: %d bytes is no thin pack of %d", name, len(thin), full)
		}
		mustPush(t, c, client, client.Sign(1, thin, nil, nodetest.Move("refs/heads/"+name, git.OID{}, next.OID)))
		c.Converge(g)
		var packs []string
		for _, m := range c.Members {
			names, err := filepath.Glob(filepath.Join(m.RepoDir(g), "objects", "pack", "*.pack"))
			if err != nil {
				t.Fatal(err)
			}
			list := ""
			for _, n := range names {
				list += filepath.Base(n) + " "
			}
			if packs = append(packs, list); list != packs[0] {
				t.Errorf("%s: packs %s and %s", name, packs[0], list)
			}
		}
	}
}

func commitOf(files map[string][]byte, parents ...git.OID) nodetest.Change {
	blobs := map[string]nodetest.Object{}
	objects := []nodetest.Object{{}, {}}
	for name, content := range files {
		blobs[name] = sha1.Blob(content)
		objects = append(objects, blobs[name])
	}
	objects[1] = sha1.Tree(blobs)
	objects[0] = sha1.Commit(objects[1].OID, "change", parents...)
	return nodetest.Change{OID: objects[0].OID, Objects: objects}
}

// thinPack has git pack next for whoever has base.
func thinPack(t *testing.T, base, next nodetest.Change) []byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "scratch.git")
	run := func(stdin []byte, args ...string) []byte {
		t.Helper()
		cmd := git.Command{Args: args, Dir: filepath.Dir(dir), Stdin: bytes.NewReader(stdin)}
		if args[0] != "init" {
			cmd.Dir = dir
		}
		out, err := cmd.Output(context.Background(), 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	run(nil, "init", "--quiet", "--bare", dir)
	run(sha1.Pack(append(base.Objects, next.Objects...)...), "index-pack", "--stdin")
	return run([]byte(next.OID.String()+"\n^"+base.OID.String()+"\n"), "pack-objects", "--revs", "--thin", "--stdout", "--delta-base-offset", "--quiet")
}
