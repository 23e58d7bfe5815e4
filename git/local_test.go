package git

import (
	"bytes"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

// enter makes a work tree the repository that git would tell a helper about.
func enter(t *testing.T, w *work) *Local {
	t.Helper()
	t.Chdir(w.dir)
	t.Setenv("GIT_DIR", ".git")
	t.Setenv("HOME", "/nonexistent")
	return new(Local)
}

func TestResolveAndHave(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		w := newWork(t, f)
		first := w.commit("a", "1")
		second := w.commit("a b", "2")
		w.git("tag", "-a", "-m", "v1", "v1", first.String())
		w.git("tag", "-a", "-m", "nested", "v2", "v1")
		w.git("tag", "-a", "-m", "of a tree", "v3", "HEAD^{tree}")
		l := enter(t, w)
		ctx := testContext(t)
		tree := w.oid("HEAD^{tree}")
		absent := someOID(f, 7)
		got, err := l.ResolveAndHave(ctx,
			[]string{"HEAD", "refs/heads/main~1", "v2", "v3", ":/change a b", "HEAD:a b"},
			[]OID{first, absent, w.oid("v1"), {}, first})
		if err != nil {
			t.Fatal(err)
		}
		v1, v2, v3, blob := w.oid("v1"), w.oid("v2"), w.oid("v3"), w.oid("HEAD:a b")
		for i, want := range []Object{
			{second, Commit, second, Commit}, {first, Commit, first, Commit}, {v2, Tag, first, Commit},
			{v3, Tag, tree, Tree}, {second, Commit, second, Commit}, {blob, Blob, blob, Blob},
		} {
			if got.Exprs[i] != want {
				t.Errorf("expression %d: %+v, want %+v", i, got.Exprs[i], want)
			}
		}
		if len(got.Have) != 2 || got.Have[first].Type != Commit || got.Have[v1] != (Object{v1, Tag, first, Commit}) {
			t.Errorf("have %+v", got.Have)
		}
		for _, expr := range []string{"absent", "HEAD:absent", "", "HEAD\nHEAD"} {
			var unresolved *UnresolvedError
			if _, err := l.ResolveAndHave(ctx, []string{"HEAD", expr}, nil); !errors.As(err, &unresolved) || unresolved.Expr != expr {
				t.Errorf("%q: %v", expr, err)
			}
		}
		if format, err := l.ObjectFormat(ctx); err != nil || format != f {
			t.Errorf("%s, %v", format, err)
		}
	})
}

// With thousands of tips neither pipe of the one process may block the other.
func TestResolveManyTips(t *testing.T) {
	w := newWork(t, SHA1)
	first := w.commit("a", "not a number")
	w.git("tag", "-a", "-m", "v", "v1")
	tips := []OID{first, w.oid("v1")}
	for i := range 30_000 {
		tips = append(tips, someOID(SHA1, i))
	}
	got, err := enter(t, w).ResolveAndHave(testContext(t), []string{"HEAD"}, tips)
	if err != nil || len(got.Have) != 2 {
		t.Errorf("have %d, %v", len(got.Have), err)
	}
}

func TestPackForPush(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		r, w := newRepo(t, f), newWork(t, f)
		first := w.commit("a", strings.Repeat("text\n", 1000))
		publish(t, r, w.pack(first), first)
		second := w.commit("a", strings.Repeat("text\n", 1000)+"x")
		l := enter(t, w)
		var progress bytes.Buffer
		pack, err := l.PackForPush(ctx, []OID{second}, []OID{first}, true, &progress)
		if err != nil {
			t.Fatal(err)
		}
		q, err := r.Ingest(ctx, pack, IngestOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = q.Discard() }()
		if err := pack.Close(); err != nil {
			t.Error(err)
		}
		if _, err := q.Check(ctx, []OID{second}); err != nil || !q.Completed {
			t.Errorf("thin %v, %v", q.Completed, err)
		}
		if !strings.Contains(progress.String(), "objects") {
			t.Errorf("progress: %q", progress.String())
		}

		pack, err = l.PackForPush(ctx, []OID{second}, []OID{someOID(f, 1)}, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		var exit *ExitError
		if _, err := io.Copy(io.Discard, pack); !errors.As(err, &exit) || !strings.Contains(exit.Stderr, "bad object") {
			t.Errorf("with an unknown have: %v", err)
		}
		if err := pack.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A pusher who gives up leaves no process behind.
func TestPackForPushClosedEarly(t *testing.T) {
	w := newWork(t, SHA1)
	tip := w.commit("noise", string(noise(4<<20, 1)))
	pack, err := enter(t, w).PackForPush(testContext(t), []OID{tip}, nil, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(pack, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := pack.Close(); err != nil {
		t.Fatal(err)
	}
	if s := pack.(*packStream).p.cmd.ProcessState; s == nil || s.Success() {
		t.Errorf("state %v", s)
	}
	if _, err := pack.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read after close: %v", err)
	}
}

func TestShallowRoots(t *testing.T) {
	origin := newWork(t, SHA1)
	origin.commit("a", "1")
	tip := origin.commit("a", "2")
	dir := filepath.Join(t.TempDir(), "c")
	origin.git("clone", "-q", "--depth=1", "file://"+origin.dir, dir)
	c := &work{t: t, dir: dir}
	if roots, err := enter(t, origin).Shallow(); err != nil || len(roots) != 0 {
		t.Errorf("a whole one: %v, %v", roots, err)
	}
	l := enter(t, c)
	if roots, err := l.Shallow(); err != nil || len(roots) != 1 || roots[0] != tip {
		t.Errorf("%v, %v", roots, err)
	}
	added := filepath.Join(t.TempDir(), "tree")
	c.git("worktree", "add", "-q", added, "-b", "side")
	t.Chdir(added)
	t.Setenv("GIT_DIR", filepath.Join(dir, ".git", "worktrees", "tree"))
	if roots, err := l.Shallow(); err != nil || len(roots) != 1 || roots[0] != tip {
		t.Errorf("in an added work tree: %v, %v", roots, err)
	}
}
