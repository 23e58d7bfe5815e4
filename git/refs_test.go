package git

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func someOID(f Format, n int) OID { return objectID(f, "blob", fmt.Append(nil, n)) }

func TestWriteRefs(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		r, w := newRepo(t, f), newWork(t, f)
		tip := w.commit("a", "a")
		w.git("tag", "-a", "-m", "v1", "v1")
		tag := w.oid("v1")
		publish(t, r, w.pack(tag), tip)

		want := Listing{Head: "refs/heads/dev", Peeled: true, Refs: []Ref{
			{Name: "refs/tags/v1", OID: tag, Peeled: tip}, // not in order
			{Name: "refs/heads/main", OID: tip},
			{Name: "refs/heads/dev", OID: tip},
			{Name: "refs/heads/a/b", OID: tip},
			{Name: "refs/peer/x", OID: tip},
		}}
		if err := r.WriteRefs(want); err != nil {
			t.Fatal(err)
		}
		if want.Refs[0].Name != "refs/tags/v1" {
			t.Error("the caller's slice was sorted")
		}
		got, err := r.ReadRefs(ctx)
		if err != nil {
			t.Fatal(err)
		}
		expect := Listing{Head: want.Head}
		for _, ref := range want.Refs {
			expect.Refs = append(expect.Refs, Ref{Name: ref.Name, OID: ref.OID})
		}
		slices.SortFunc(expect.Refs, func(a, b Ref) int { return strings.Compare(a.Name, b.Name) })
		if !reflect.DeepEqual(got, expect) {
			t.Errorf("got %+v\nwant %+v", got, expect)
		}
		// Git must believe our peeled values, and find what it would have written.
		mine, err := os.ReadFile(r.path("packed-refs"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.command("pack-refs", "--all").Output(ctx, 1<<10); err != nil {
			t.Fatal(err)
		}
		gits, err := os.ReadFile(r.path("packed-refs"))
		if err != nil || string(mine) != string(gits) {
			t.Errorf("git writes\n%s, %v, we\n%s", gits, err, mine)
		}
		if lines := w.git("ls-remote", r.dir) + "\n"; !strings.Contains(lines, tip.String()+"\trefs/tags/v1^{}\n") ||
			!strings.Contains(lines, tip.String()+"\tHEAD\n") || strings.Contains(lines, "refs/peer") {
			t.Errorf("ls-remote: %s", lines)
		}

		if err := r.WriteRefs(Listing{Head: "refs/heads/none"}); err != nil {
			t.Fatal(err)
		}
		if got, err := r.ReadRefs(ctx); err != nil || len(got.Refs) != 0 || got.Head != "refs/heads/none" {
			t.Errorf("after deleting all: %+v, %v", got, err)
		}
		noLitter(t, r)
	})
}

func TestWriteRefsForcesTheListing(t *testing.T) {
	ctx := testContext(t)
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	one := w.commit("a", "1")
	two := w.commit("a", "2")
	publish(t, r, w.pack(two), two)
	for name, text := range map[string]string{
		"refs/heads/main":      one.String() + "\n", // an operator's hand
		"refs/heads/x/y":       two.String() + "\n",
		"refs/tags/torn":       "",
		"refs/heads/main.lock": "",
		"refs/remotes/o/main":  two.String() + "\n",
		"refs/stash":           two.String() + "\n",
		"packed-refs.lock":     "half a listing", // a crash of ours
		"HEAD.lock":            "",
	} {
		path := r.path(filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		past := time.Now().Add(-time.Hour)
		if err := os.Chtimes(path, past, past); err != nil {
			t.Fatal(err)
		}
	}
	want := Listing{Head: "refs/heads/two", Refs: []Ref{{Name: "refs/heads/two", OID: two}}}
	if err := r.WriteRefs(want); err != nil {
		t.Fatal(err)
	}
	got, err := r.ReadRefs(ctx)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	noLitter(t, r)
	fsck(t, r)
}

// A lock that somebody holds is waited for, and then taken.
func TestWriteRefsWaitsForALock(t *testing.T) {
	r := newRepo(t, SHA1)
	lock := r.path("packed-refs.lock")
	if err := os.WriteFile(lock, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := r.WriteRefs(Listing{Head: "refs/heads/main"}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took < lockPatience/2 {
		t.Errorf("a fresh lock was taken after %v", took)
	}
	noLitter(t, r)
}

func TestWriteRefsRefuses(t *testing.T) {
	r := newRepo(t, SHA1)
	oid := someOID(SHA1, 1)
	for name, l := range map[string]Listing{
		"line in a name":  {Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/a\n" + oid.String() + " refs/x/y", OID: oid}}},
		"outside refs":    {Head: "refs/heads/main", Refs: []Ref{{Name: "heads/a", OID: oid}}},
		"no object":       {Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/a"}}},
		"another format":  {Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/a", OID: someOID(SHA256, 1)}}},
		"twice":           {Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/a", OID: oid}, {Name: "refs/heads/a", OID: oid}}},
		"HEAD elsewhere":  {Head: "refs/tags/v1"},
		"HEAD with lines": {Head: "refs/heads/a\nb"},
		"no HEAD":         {},
	} {
		if err := r.WriteRefs(l); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := os.Stat(r.path("packed-refs")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
}

func TestNextStamp(t *testing.T) {
	r := newRepo(t, SHA1)
	now := time.Unix(1_700_000_000, 5)
	for _, test := range []struct{ last, want int64 }{
		{1_600_000_000, 1_700_000_000},
		{1_700_000_000, 1_700_000_001},
		{1_700_000_007, 1_700_000_008},
		{1_800_000_000, 1_700_000_000}, // the clock went back, or far too many writes
	} {
		r.stamp = time.Unix(test.last, 0)
		if got := r.nextStamp(now).Unix(); got != test.want {
			t.Errorf("after %d: %d", test.last, got)
		}
	}
	// A new process goes on from the file.
	r.stamp = time.Time{}
	if err := r.WriteRefs(Listing{Head: "refs/heads/main"}); err != nil {
		t.Fatal(err)
	}
	first := r.stamp
	again, err := Open(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := again.nextStamp(first); !got.After(first) {
		t.Errorf("%v after %v", got, first)
	}
}
