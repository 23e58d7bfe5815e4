package git

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestCreate(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		dir := filepath.Join(t.TempDir(), "deep", "r.git")
		r, err := Create(ctx, dir, f, "refs/heads/trunk")
		if err != nil {
			t.Fatal(err)
		}
		for query, want := range map[string]string{
			"rev-parse --show-object-format":             string(f),
			"rev-parse --is-bare-repository":             "true",
			"symbolic-ref HEAD":                          "refs/heads/trunk",
			"config --type=bool core.logAllRefUpdates":   "false",
			"config --type=bool transfer.fsckObjects":    "true",
			"config --type=bool uploadpack.allowFilter":  "true",
			"config --local gc.auto":                     "0",
			"config --get-all transfer.hideRefs":         "refs/peer",
			"config --local --path --get core.hooksPath": "/dev/null",
		} {
			out, err := r.command(strings.Fields(query)...).Output(ctx, 1<<10)
			if got := strings.TrimSpace(string(out)); err != nil || got != want {
				t.Errorf("git %s: %q, %v", query, got, err)
			}
		}
		fsck(t, r)
		again, err := Create(ctx, dir, f, "refs/heads/other")
		if err != nil || again.Format() != f || again.Dir() != r.Dir() {
			t.Errorf("again: %+v, %v", again, err)
		}
		other := map[Format]Format{SHA1: SHA256, SHA256: SHA1}[f]
		if _, err := Create(ctx, dir, other, "refs/heads/trunk"); err == nil {
			t.Error("created with another format over the first")
		}
		left, err := os.ReadDir(filepath.Dir(dir))
		if err != nil || len(left) != 1 {
			t.Errorf("beside it: %v, %v", left, err)
		}
	})
}

func TestCreateAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r.git")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := Create(t.Context(), dir, SHA1, "refs/heads/main"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

func TestCreateRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "r.git")
	if _, err := Create(t.Context(), dir, "md5", "refs/heads/main"); err == nil {
		t.Error("unknown format accepted")
	}
	if _, err := Create(t.Context(), dir, SHA1, "refs/heads/a\n[core]"); err == nil {
		t.Error("broken HEAD accepted")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(ctx, dir, SHA1, "refs/heads/main"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open: %v", err)
	}
}

func TestRemoveLeftovers(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	tip := w.commit("a", "a")
	publish(t, r, w.pack(tip), tip)
	if _, err := r.newQuarantine(); err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(r.dir), newPrefix(r.dir)+"1234")
	half := r.PackPath(strings.Repeat("ab", 20))
	for _, path := range []string{
		r.path("packed-refs.lock"), r.path("packed-refs.new"), r.path("HEAD.lock"), half,
		r.path("objects", "pack", "tmp_pack_abc"), r.path("objects", "pack", ".tmp-1-pack-x.pack"),
	} {
		if err := os.WriteFile(path, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveLeftovers(); err != nil {
		t.Fatal(err)
	}
	noLitter(t, r)
	for _, gone := range []string{beside, r.path("packed-refs.new")} {
		if _, err := os.Stat(gone); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", gone, err)
		}
	}
	// A pack without an index may be the only copy of something.
	if _, err := os.Stat(half); err != nil {
		t.Error(err)
	}
	fsck(t, r)
	if got, err := r.ReadRefs(testContext(t)); err != nil || len(got.Refs) != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
