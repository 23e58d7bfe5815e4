package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

// testBench has directories, and no binary of peer.
func testBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{dir: t.TempDir(), errs: io.Discard}
	b.work, b.cfg.cache = b.dir, t.TempDir()
	return b
}

func TestRunReportsAndMeasures(t *testing.T) {
	t.Setenv("PEER_HOME", "/somebody's")
	t.Setenv("GIT_DIR", "/somebody's")
	b := testBench(t)
	out, spent, err := b.run(t.Context(), command{env: []string{"LC_ALL=B"}, args: []string{"sh", "-c", `sleep 0.02; echo "$PEER_HOME$GIT_DIR$LC_ALL"`}})
	if err != nil || out != "B\n" {
		t.Errorf("printed %q, %v; want the environment without what is somebody's", out, err)
	}
	if spent.wall < 20*time.Millisecond {
		t.Errorf("took %v", spent.wall)
	}
	_, _, err = b.run(t.Context(), command{args: []string{"sh", "-c", "echo 'fatal: no luck' >&2; echo bye >&2; exit 3"}})
	if err == nil || !strings.Contains(err.Error(), "fatal: no luck") || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("error %v", err)
	}
}

// What a killed command has started goes with it.
func TestRunEndsTheWholeGroup(t *testing.T) {
	b := testBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, _, err := b.run(ctx, command{args: []string{"sh", "-c", "sleep 60 & wait"}}); err == nil {
		t.Error("no error")
	}
	if took := time.Since(start); took > killPatience/2 {
		t.Errorf("it took %v: the grandchild held the pipes", took)
	}
}

func TestDaemonBecomesReadyAndStops(t *testing.T) {
	b := testBench(t)
	d, err := b.start(t.Context(), "test", nil, "sh", "-c", "printf 'not ready\\nrea'; sleep 0.01; printf 'dy\\n'; exec sleep 60")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.awaitReady(t.Context()); err != nil {
		t.Error(err)
	}
	start := time.Now()
	d.stop()
	if took := time.Since(start); took > stopPatience/2 {
		t.Errorf("stop took %v", took)
	}
}

func TestDaemonThatDiesSaysWhy(t *testing.T) {
	b := testBench(t)
	d, err := b.start(t.Context(), "test", nil, "sh", "-c", "echo 'peer: error: no port' >&2; exit 1")
	if err != nil {
		t.Fatal(err)
	}
	defer d.stop()
	if err := d.awaitReady(t.Context()); err == nil || !strings.Contains(err.Error(), "no port") {
		t.Errorf("awaitReady: %v", err)
	}
}

// A cached repository and one that is made again are the same.
func TestFixturesAreReproducible(t *testing.T) {
	for _, f := range []fixture{history(5), large(2)} {
		var streams [2]bytes.Buffer
		for i := range streams {
			s := newImportStream(&streams[i])
			f.write(s)
			if err := s.finish(); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(streams[0].Bytes(), streams[1].Bytes()) {
			t.Errorf("%s differs from run to run", f.name)
		}
	}
}

func TestFixtureAndCommits(t *testing.T) {
	b := testBench(t)
	source, err := b.fixture(t.Context(), history(5))
	if err != nil {
		t.Fatal(err)
	}
	if again, err := b.fixture(t.Context(), fixture{name: history(5).name}); err != nil || again != source {
		t.Errorf("the cached one: %s, %v", again, err)
	}
	if left, err := os.ReadDir(b.cfg.cache); err != nil || len(left) != 1 {
		t.Errorf("the cache holds %v, %v", left, err)
	}
	to := b.path("to.git")
	if err := b.receiver(t.Context(), to, source, careful); err != nil {
		t.Fatal(err)
	}
	c, err := b.newClient(t.Context(), "c", source, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.commit(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	oids, err := c.last(t.Context(), 3)
	if err != nil || len(oids) != 3 {
		t.Fatalf("the last three: %v, %v", oids, err)
	}
	if err := c.pushEach(t.Context(), oids, "refs/heads/main"); err != nil {
		t.Fatal(err)
	}
	head, err := c.head(t.Context())
	if err != nil || head != oids[2] {
		t.Errorf("main is at %s, %v; want %s", head, err, oids[2])
	}
	out, _, err := c.git(t.Context(), "rev-list", "--objects", "--no-object-names", oids[1]+".."+oids[2])
	if err != nil || len(strings.Fields(out)) != 3 {
		t.Errorf("a commit has the new objects %q, %v; want three", out, err)
	}
	if out, _, err := c.git(t.Context(), "-C", to, "rev-list", "--count", "main"); err != nil || out != "8" {
		t.Errorf("%s commits arrived, %v; want 8", out, err)
	}
	if out, _, err := c.git(t.Context(), "-C", to, "config", "receive.fsckObjects"); err != nil || out != "true" {
		t.Errorf("a careful receiver has fsckObjects=%s, %v", out, err)
	}
}

func TestParse(t *testing.T) {
	for args, ok := range map[string]bool{
		"":                  true,
		"-quick -run push":  true,
		"-run (":            false,
		"-json -markdown":   false,
		"-rounds -1":        false,
		"-missed 0":         false,
		"small-push":        false,
		"-idle 10ms":        false,
		"-idle 5m -clients": false,
	} {
		if _, err := parse(strings.Fields(args), io.Discard); (err == nil) != ok {
			t.Errorf("parse(%q): %v", args, err)
		}
	}
}
