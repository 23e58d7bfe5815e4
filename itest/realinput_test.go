package itest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"peer/itest/internal/binary"
	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// TestRealInput pushes what people push, and clones it from every replica.
func TestRealInput(t *testing.T) {
	c := newCluster(t, options{})
	c.run(t, "this repository", func(t *testing.T) { testOwnSource(t, c) })
	c.run(t, "long mixed history", func(t *testing.T) { testLongHistory(t, c) })
	c.run(t, "pack of 300 MB", func(t *testing.T) { testLargePack(t, c) })
	c.run(t, "2000 refs", func(t *testing.T) { testManyRefs(t, c) })
	c.run(t, "SHA-256", func(t *testing.T) { testSHA256(t, c) })
}

// testOwnSource pushes the repository that this source is in.
func testOwnSource(t *testing.T, c *cluster) {
	ann := c.at(0)
	if r := ann.TryGit(binary.SourceDir(), "-c", "safe.directory=*", "rev-parse", "--git-dir"); r.Code != 0 {
		t.Skip("this source is not in a git repository")
	}
	ann.Git("", "-c", "safe.directory=*", "clone", "-q", "--bare", "--no-local", binary.SourceDir(), "own.git")
	head := strings.TrimPrefix(ann.Git("own.git", "symbolic-ref", "HEAD"), "refs/heads/")
	r := c.create("own", "--default-branch", head)
	ann.Git("own.git", "push", "-q", "--mirror", r.url)
	r.converge()
	r.checkDisks()
	r.cloneEverywhere(ann.Path("own.git"))
}

func testLongHistory(t *testing.T, c *cluster) {
	commits := 20_000
	if testing.Short() {
		commits = 1_000
	}
	ann := c.at(0)
	ann.Git("", "init", "-q", "--bare", "long.git")
	ann.fastImport(t, "long.git", func(w io.Writer) error { return newHistory(w).write(commits) })
	r := c.create("long")
	ann.Git("long.git", "push", "-q", "--mirror", r.url)
	r.converge()
	r.checkDisks()
	r.cloneEverywhere(ann.Path("long.git"))
	// Parts of it, as people take them.
	bob := c.at(1)
	bob.Git("", "clone", "-q", "--depth=1", "--branch=release/1.x", r.url, "shallow")
	bob.Git("shallow", "fetch", "-q", "--unshallow")
	bob.Git("", "clone", "-q", "--filter=blob:none", "--no-checkout", r.url, "partial")
	if got := bob.Git("partial", "cat-file", "blob", "HEAD:link"); got != "run.sh" {
		t.Fatalf("the link in a partial clone names %q", got)
	}
}

// fastImport feeds a generated stream to git fast-import.
func (p *person) fastImport(t *testing.T, dir string, write func(io.Writer) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), people.CommandTimeout)
	defer cancel()
	cmd := p.c.command(ctx, p.Command(dir, "git", "fast-import", "--quiet", "--done"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wrote := write(in)
	_ = in.Close()
	if err := cmd.Wait(); err != nil || wrote != nil {
		t.Fatalf("fast-import: %v, %v\n%s", err, wrote, &said)
	}
}

const (
	packBlobs = 150
	// Generous, and below what one would need that holds the pack.
	anonMiBMax = 256
)

// testLargePack pushes one pack of 300 MB and looks at the memory of all who
// take part. Their anonymous memory must not grow with the pack.
func testLargePack(t *testing.T, c *cluster) {
	blobs := packBlobs
	if testing.Short() {
		blobs /= 5
	}
	ann := c.at(0)
	ann.Git("", "init", "-q", "--bare", "large.git")
	ann.fastImport(t, "large.git", func(w io.Writer) error { return newHistory(w).writeBlobs(blobs) })
	r := c.create("large")
	roots := map[int]string{os.Getpid(): "pusher"}
	for _, n := range c.nodes {
		roots[n.pid()] = n.name
	}
	watch := watchMemory(roots)
	pushed := ann.TryGit("large.git", "push", "-q", "--mirror", r.url)
	ann.Must(pushed)
	t.Logf("pushed %d MB in %v", blobs*packBlobBytes/1e6, pushed.Took)
	r.converge()
	peaks := watch.end()
	report(t, peaks)
	for _, name := range []string{"node1", "node2", "node3", "pusher: git-remote-peer"} {
		if peak := peaks[name]; peak.anon == 0 || peak.anon > anonMiBMax<<10 {
			t.Errorf("%s used %d MiB of anonymous memory for a pack of %d MB", name, peak.anon>>10, blobs*packBlobBytes/1e6)
		}
	}
	r.checkDisks()
	r.cloneEverywhere(ann.Path("large.git"))
}

func report(t *testing.T, peaks map[string]memoryPeak) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(peaks)) {
		t.Logf("%-28s peak RSS %4d MiB, anonymous %4d MiB", name, peaks[name].rss>>10, peaks[name].anon>>10)
	}
}

func testManyRefs(t *testing.T, c *cluster) {
	const refs = 2000
	ann := c.at(0)
	ann.Git("", "init", "-q", "--bare", "many.git")
	ann.fastImport(t, "many.git", func(w io.Writer) error {
		h := newHistory(w)
		h.printf("feature done\n")
		for i := range refs / 2 {
			mark := h.commit(fmt.Sprintf("refs/heads/topic/%d/work", i), max(0, h.marks-i%3), 0, func() { h.edit() })
			h.printf("reset refs/tags/t%d\nfrom :%d\n\n", i, mark)
		}
		h.printf("done\n")
		return h.w.Flush()
	})
	ann.Git("many.git", "symbolic-ref", "HEAD", "refs/heads/topic/0/work")
	r := c.create("many", "--default-branch", "topic/0/work")
	pushed := ann.TryGit("many.git", "push", "-q", "--mirror", r.url)
	ann.Must(pushed)
	t.Logf("pushed %d refs in %v", refs, pushed.Took)
	if got := strings.Count(r.converge(), "\nrefs/") + 1; got != refs {
		t.Fatalf("%d refs arrived of %d", got, refs)
	}
	r.checkDisks()
	r.cloneEverywhere(ann.Path("many.git"))
	ann.Git("many.git", "push", "-q", "--atomic", r.url, "--delete", "refs/tags/t1", "refs/tags/t2")
}

func testSHA256(t *testing.T, c *cluster) {
	r := c.create("sha256", "--object-format", "sha256")
	ann := c.at(0)
	ann.Git("", "init", "-q", "--object-format=sha256", "sha256")
	ann.Commit("sha256", "a.txt", []byte("one\n"))
	ann.Git("sha256", "tag", "-a", "-m", "first", "v1")
	if tip := ann.Commit("sha256", "b.txt", []byte("two\n")); len(tip) != 64 {
		t.Fatalf("%s is no SHA-256", tip)
	}
	ann.Git("sha256", "push", "-q", "--mirror", r.url)
	ann.Commit("sha256", "c.txt", content.Random(1, largeBytes)) // staged, not inline
	ann.Git("sha256", "push", "-q", "--mirror", r.url)
	r.converge()
	r.checkDisks()
	r.cloneEverywhere(ann.Path("sha256"))

	ann.Git("", "init", "-q", "sha1")
	ann.Commit("sha1", "a.txt", []byte("one\n"))
	ann.Refuses("sha1", []string{"hash algorithm", "peer init --object-format sha1"}, "push", r.url, "HEAD:refs/heads/other")
}
