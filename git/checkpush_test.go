package git

import (
	"errors"
	"testing"
)

// TestCheckPush checks that a push may rely on what the tips reach, wherever they
// reach it, and on nothing else that lies in the repository.
func TestCheckPush(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r, w := newRepo(t, f), newWork(t, f)
		ctx := testContext(t)
		first := w.commit("a", "one")
		blob, tree := w.oid("HEAD:a"), w.oid("HEAD^{tree}")
		second := w.commit("a", "two")
		publish(t, r, w.pack(second), second)
		w.git("checkout", "-q", "--detach", first.String())
		dropped := w.commit("b", "of a branch that is gone")
		q := ingested(t, r, w.pack(dropped, first), IngestOptions{})
		if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
			t.Fatal(err)
		}
		onDropped := w.commit("c", "rests on it")
		w.git("checkout", "-q", "--detach", second.String())
		w.git("checkout", "-q", first.String(), "--", "a")
		w.git("commit", "-q", "-m", "as it was")
		reverted := w.oid("HEAD")

		// The pack of a client that knows that the old tree is there.
		onlyCommit := ingested(t, r, w.packOf(reverted), IngestOptions{})
		rests := ingested(t, r, w.pack(onDropped, dropped), IngestOptions{})

		var missing *MissingError
		for name, c := range map[string]struct {
			q    *Quarantine
			news []OID
			tips []OID
			ok   bool
		}{
			"rests on what is gone":          {rests, []OID{onDropped}, []OID{second}, false},
			"rests on a retired tip":         {rests, []OID{onDropped}, []OID{second, dropped}, true},
			"an old tree again":              {onlyCommit, []OID{reverted}, []OID{second}, true},
			"an old tree that is gone":       {onlyCommit, []OID{reverted}, nil, false},
			"a ref to what is gone":          {nil, []OID{dropped}, []OID{second}, false},
			"a ref to a retired tip":         {nil, []OID{dropped}, []OID{dropped}, true},
			"a ref to a tip":                 {nil, []OID{second}, []OID{second}, true},
			"a ref to an old commit":         {nil, []OID{first}, []OID{second}, true},
			"a ref to an old tree":           {nil, []OID{tree}, []OID{second}, true},
			"a ref to an old blob":           {nil, []OID{blob}, []OID{second}, true},
			"a ref to a blob of what's gone": {nil, []OID{w.oid(dropped.String() + ":b")}, []OID{second}, false},
			"anything while nothing is here": {nil, []OID{first}, nil, false},
		} {
			check := r.CheckPush
			if c.q != nil {
				check = c.q.CheckPush
			}
			got, err := check(ctx, c.news, nil, c.tips)
			if c.ok && (err != nil || len(got) != len(c.news)) {
				t.Errorf("%s: %v", name, err)
			}
			if !c.ok && !errors.As(err, &missing) {
				t.Errorf("%s: %v, want a missing object", name, err)
			}
		}
		if _, err := rests.Check(ctx, []OID{onDropped}); err != nil {
			t.Errorf("the objects are on this disk: %v", err)
		}
	})
}
