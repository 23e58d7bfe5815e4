package git

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestIsAncestor asks about commits in the repository, in a quarantine, and in a
// pack that lies elsewhere, and about what is no commit, or not there.
func TestIsAncestor(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r, w := newRepo(t, f), newWork(t, f)
		ctx := testContext(t)
		first := w.commit("a", "one")
		blob := w.oid("HEAD:a")
		second := w.commit("a", "two")
		w.git("tag", "-a", "-m", "tag", "v1")
		tag := w.oid("v1")
		publish(t, r, w.pack(tag), tag)
		w.git("checkout", "-q", "--detach", first.String())
		aside := w.commit("b", "aside")
		w.git("checkout", "-q", "--detach", second.String())
		third := w.commit("a", "three")
		q := ingested(t, r, w.pack(third, second), IngestOptions{})
		elsewhere := t.TempDir()
		pack, idx := filepath.Join(elsewhere, "p"), filepath.Join(elsewhere, "i")
		for from, to := range map[string]string{q.PackPath: pack, q.IdxPath: idx} {
			if err := os.Link(from, to); err != nil {
				t.Fatal(err)
			}
		}
		borrowed, err := r.Borrow(q.Name, pack, idx)
		if err != nil {
			t.Fatal(err)
		}
		type asked func(context.Context, OID, OID) (bool, error)
		const yes, no, unknown = "yes", "no", "unknown"
		for name, c := range map[string]struct {
			is       asked
			old, new OID
			want     string
		}{
			"forward":               {r.IsAncestor, first, second, yes},
			"idly":                  {r.IsAncestorIdly, first, second, yes},
			"the same":              {r.IsAncestor, second, second, yes},
			"back":                  {r.IsAncestor, second, first, no},
			"a tag is its commit":   {r.IsAncestor, first, tag, yes},
			"a blob is nothing":     {r.IsAncestor, blob, second, no},
			"to a blob":             {r.IsAncestor, first, blob, no},
			"to what is not here":   {r.IsAncestor, first, aside, unknown},
			"from what is not here": {r.IsAncestor, aside, second, unknown},
			"not here yet":          {r.IsAncestor, second, third, unknown},
			"in quarantine":         {q.IsAncestor, second, third, yes},
			"back from quarantine":  {q.IsAncestor, third, first, no},
			"borrowed":              {borrowed.IsAncestor, first, third, yes},
		} {
			got := no
			if is, err := c.is(ctx, c.old, c.new); err != nil {
				got = unknown
			} else if is {
				got = yes
			}
			if got != c.want {
				t.Errorf("%s: %s, want %s", name, got, c.want)
			}
		}
		if err := borrowed.Discard(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(pack); err != nil {
			t.Errorf("what was borrowed is gone: %v", err)
		}
	})
}
