package git

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A small push is made of processes more than of anything else, so their number
// is part of what is promised.
func TestProcessesOfAPush(t *testing.T) {
	ctx := testContext(t)
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	first := w.commit("a", strings.Repeat("text\n", 100))
	publish(t, r, w.pack(first), first)
	second := w.commit("a", strings.Repeat("text\n", 100)+"x")

	real, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	log := filepath.Join(bin, "log")
	script := fmt.Sprintf("#!/bin/sh\necho x >>%s\nexec %s \"$@\"\n", log, real)
	if err := os.WriteFile(filepath.Join(bin, "git"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	l := enter(t, w)
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	count := func(what string, want int, do func() error) {
		t.Helper()
		_ = os.Remove(log)
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		runs, _ := os.ReadFile(log) // absent when there was none
		if got := bytes.Count(runs, []byte("x")); got != want {
			t.Errorf("%s: %d processes, want %d", what, got, want)
		}
	}
	var pack []byte
	var q *Quarantine
	count("resolve", 1, func() error {
		_, err := l.ResolveAndHave(ctx, []string{"HEAD"}, []OID{first})
		return err
	})
	count("pack", 1, func() error {
		out, err := l.PackForPush(ctx, []OID{second}, []OID{first}, false, nil)
		if err != nil {
			return err
		}
		defer out.Close()
		pack, err = io.ReadAll(out)
		return err
	})
	count("ingest", 1, func() (err error) {
		q, err = r.Ingest(ctx, bytes.NewReader(pack), IngestOptions{})
		return err
	})
	count("check", 2, func() error {
		_, err := q.Check(ctx, []OID{second})
		return err
	})
	count("publish", 0, func() error {
		if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
			return err
		}
		if err := q.Discard(); err != nil {
			return err
		}
		return r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: second}}})
	})
	count("check without news", 0, func() error {
		_, err := r.Check(ctx, nil)
		return err
	})
}
