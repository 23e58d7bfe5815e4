package git

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGather checks that what no tip reaches goes, and nothing else, and nothing
// before the new pack holds the rest.
func TestGather(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r, w := newRepo(t, f), newWork(t, f)
		ctx := testContext(t)
		first := w.commit("a", "one")
		publish(t, r, w.pack(first), first)
		dropped := w.commit("b", "of a branch that is gone")
		blob := w.oid("HEAD:b")
		publish(t, r, w.pack(dropped, first), dropped)
		w.git("checkout", "-q", "--detach", first.String())
		retired := w.commit("c", "retired")
		publish(t, r, w.pack(retired, first), retired)
		w.git("checkout", "-q", "--detach", first.String())
		second := w.commit("d", "two")
		tree := w.oid("HEAD^{tree}")
		publish(t, r, w.pack(second, first), second)
		tips := []OID{second, retired, tree} // a ref may name a tree
		old, err := r.Packs()
		if err != nil || len(old) != 4 {
			t.Fatalf("packs %v, %v", old, err)
		}
		later := w.commit("e", "of a push that comes meanwhile")
		publish(t, r, w.pack(later, second), later)

		g, err := r.Gather(ctx, tips, old, false)
		if err != nil || g.Garbage != 3 || len(g.Old) != 4 || !r.HasPack(g.Name) {
			t.Fatalf("%+v, %v", g, err)
		}
		all := []OID{first, second, retired, dropped, blob, tree, later}
		if have, err := r.Objects(ctx, all); err != nil || len(have) != len(all) {
			t.Fatalf("before anything was removed: %v, %v", have, err)
		}
		if err := r.RemoveGathered(g, nil); err != nil {
			t.Fatal(err)
		}
		have, err := r.Objects(ctx, all)
		if _, gone := have[dropped]; err != nil || gone || len(have) != len(all)-2 {
			t.Errorf("afterwards: %v, %v", have, err)
		}
		fsck(t, r)
		noLitter(t, r)
		if packs, err := r.Packs(); err != nil || len(packs) != 2 {
			t.Errorf("packs %v, %v", packs, err)
		}
		packs, err := r.Packs()
		if again, err2 := r.Gather(ctx, append(tips, later), packs, false); err != nil || err2 != nil || again.Name != "" {
			t.Errorf("without garbage: %+v, %v, %v", again, err, err2)
		}
	})
}

// TestGatherPinned leaves packs that came into use again.
func TestGatherPinned(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	first := w.commit("a", "one")
	publish(t, r, w.pack(first), first)
	before, err := r.Packs()
	if err != nil {
		t.Fatal(err)
	}
	second := w.commit("a", "two")
	publish(t, r, w.pack(second, first), second)
	publish(t, r, w.pack(first), first)
	old, err := r.Packs()
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.Gather(testContext(t), []OID{first}, old, false)
	if err != nil || len(g.Old) != 2 {
		t.Fatalf("%+v, %v", g, err)
	}
	if err := r.RemoveGathered(g, map[string]bool{before[0]: true}); err != nil || !r.HasPack(before[0]) {
		t.Errorf("%v, and the pack that must stay: %v", err, r.HasPack(before[0]))
	}
}

// TestGatherRefusesDamage checks that a repository with a hole is left as it is.
func TestGatherRefusesDamage(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	first := w.commit("a", "one")
	publish(t, r, w.pack(first), first)
	base, err := r.Packs()
	if err != nil {
		t.Fatal(err)
	}
	second := w.commit("a", "two")
	publish(t, r, w.pack(second, first), second)
	dropped := w.commit("a", "dropped")
	publish(t, r, w.pack(dropped, second), dropped)
	old, err := r.Packs()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.removePacks(Repacked{}, []onePack{{name: base[0]}}); err != nil {
		t.Fatal(err)
	}
	g, err := r.Gather(testContext(t), []OID{second}, old, true)
	if err == nil || len(g.Old) != 0 {
		t.Errorf("gathered %+v without the first commit", g)
	}
	if packs, err := r.Packs(); err != nil || len(packs) != 2 {
		t.Errorf("packs %v, %v", packs, err)
	}
	noLitter(t, r)
}

// TestGatherForClones checks that a large repository gets a bitmap, its reverse
// index and a commit graph, that git uses them, and that a repack keeps them.
func TestGatherForClones(t *testing.T) {
	r := newRepo(t, SHA1)
	ctx := testContext(t)
	tip := fastImport(t, r, 4000)
	if pays, err := r.GatherPays(); err != nil || !pays {
		t.Fatalf("gathering pays: %v, %v", pays, err)
	}
	old, err := r.Packs()
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.Gather(ctx, []OID{tip}, old, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveGathered(g, nil); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		strings.TrimSuffix(r.PackPath(g.Name), ".pack") + ".bitmap", strings.TrimSuffix(r.PackPath(g.Name), ".pack") + ".rev",
		r.path("objects", "info", "commit-graph"),
	} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%v", err)
		}
	}
	if pays, err := r.GatherPays(); err != nil || pays {
		t.Errorf("gathering pays again: %v, %v", pays, err)
	}
	c := r.command("rev-list", "--objects", "--test-bitmap", tip.String())
	if _, err := c.Output(ctx, 1<<20); err != nil {
		t.Errorf("the bitmap: %v", err)
	}
	if _, err := r.Repack(ctx, RepackOptions{MaxPacks: 1}); err != nil || !r.HasPack(g.Name) {
		t.Errorf("repack: %v, and the pack is there: %v", err, r.HasPack(g.Name))
	}
	fsck(t, r)
}

// fastImport makes a history of n commits of one file each, under main.
func fastImport(t testing.TB, r *Repo, n int) OID {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		text := fmt.Sprintf("text %d\n%x\n", i, noise(200, byte(i)))
		fmt.Fprintf(&b, "commit refs/heads/main\ncommitter A <a@example.org> %d +0000\ndata 1\nx\nM 100644 inline d%d/f%d\ndata %d\n%s\n",
			1_700_000_000+i, i%37, i%1000, len(text), text)
	}
	c := r.command("fast-import", "--quiet")
	c.config = []string{"fastimport.unpackLimit=0"}
	c.Stdin = &b
	if _, err := c.Output(testContext(t), 1<<10); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(r.dir, "refs", "heads", "main"))
	if err != nil {
		t.Fatal(err)
	}
	oid, err := ParseOID(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: oid}}}); err != nil {
		t.Fatal(err)
	}
	return oid
}
