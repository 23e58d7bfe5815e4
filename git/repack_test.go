package git

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestRepackForgetsNothing(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		r, w := newRepo(t, f), newWork(t, f)
		var tips []OID
		for i := range 12 {
			var haves []OID
			if i > 0 {
				haves = []OID{tips[i-1]}
			}
			tip := w.commit("a", strings.Repeat("text\n", 100)+fmt.Sprint(i))
			publish(t, r, w.pack(tip, haves...), tip)
			tips = append(tips, tip)
		}
		// A history that nothing refers to any more, and an object that nothing ever did.
		w.git("checkout", "-q", "--orphan", "lost")
		lost := w.commit("b", "lost")
		publish(t, r, w.pack(lost), lost)
		p := newPackWriter(f)
		p.object(packBlob, []byte("alone"))
		alone := objectID(f, "blob", []byte("alone"))
		q := ingested(t, r, p.finish(), IngestOptions{})
		if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
			t.Fatal(err)
		}
		if err := q.Discard(); err != nil {
			t.Fatal(err)
		}
		main := Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: tips[11]}}}
		if err := r.WriteRefs(main); err != nil {
			t.Fatal(err)
		}
		before := allObjects(t, r)
		pinned := q.Name

		if done, err := r.Repack(ctx, RepackOptions{}); err != nil || done.Name != "" {
			t.Fatalf("with few packs: %+v, %v", done, err)
		}
		done, err := r.Repack(ctx, RepackOptions{MaxPacks: 4, MaxJoin: 3, Keep: func(name string) bool { return name == pinned }})
		if err != nil || len(done.Removed) != 3 {
			t.Fatalf("three of them: %+v, %v", done, err)
		}
		if after := allObjects(t, r); !slices.Equal(after, before) {
			t.Errorf("%d objects before, %d after", len(before), len(after))
		}
		done, err = r.Repack(ctx, RepackOptions{MaxPacks: 4, Keep: func(name string) bool { return name == pinned }})
		if err != nil {
			t.Fatal(err)
		}
		if done.Name == "" || len(done.Removed) < 10 || slices.Contains(done.Removed, pinned) || !r.HasPack(pinned) || !r.HasPack(done.Name) {
			t.Errorf("%+v", done)
		}
		if after := allObjects(t, r); !slices.Equal(after, before) {
			t.Errorf("%d objects before, %d after", len(before), len(after))
		}
		if have, err := r.Objects(ctx, []OID{lost, alone}); err != nil || len(have) != 2 {
			t.Errorf("unreachable ones: %v, %v", have, err)
		}
		fsck(t, r)
		noLitter(t, r)
		packs, err := r.packs()
		if err != nil || len(packs) > 4 {
			t.Errorf("%d packs left, %v", len(packs), err)
		}
	})
}

// allObjects lists what is in the repository, from its indexes by way of git.
func allObjects(t *testing.T, r *Repo) []string {
	t.Helper()
	out, err := r.command("cat-file", "--batch-check", "--batch-all-objects").Output(testContext(t), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(out)))
}

// The same objects in several packs, one of which the new pack would equal.
func TestRepackOfDuplicates(t *testing.T) {
	ctx := testContext(t)
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	one := w.commit("a", "1")
	two := w.commit("a", "2")
	publish(t, r, w.pack(two), two)
	publish(t, r, w.pack(one), two)
	publish(t, r, w.pack(two, one), two)
	before := allObjects(t, r)
	for range 3 {
		if _, err := r.Repack(ctx, RepackOptions{MaxPacks: 1}); err != nil {
			t.Fatal(err)
		}
		if after := allObjects(t, r); !slices.Equal(after, before) {
			t.Errorf("%d objects before, %d after", len(before), len(after))
		}
		fsck(t, r)
	}
}

// Packs must stay if the new one lacks an object of theirs.
func TestVerifyJoined(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	one := w.commit("a", "1")
	publish(t, r, w.pack(one), one)
	two := w.commit("b", "2")
	publish(t, r, w.pack(two, one), two)
	packs, err := r.packs()
	if err != nil || len(packs) != 2 {
		t.Fatalf("%v, %v", packs, err)
	}
	if err := r.verifyJoined(packs[0].name, packs, nil); err == nil {
		t.Error("one of them has all of both?")
	}
	if err := r.verifyJoined(packs[0].name, packs[:1], packs[1:]); err != nil {
		t.Error(err)
	}
	if err := r.verifyJoined("", packs[:1], packs[1:]); err == nil {
		t.Error("nothing has all of it")
	}
}

func TestGeometricSplit(t *testing.T) {
	for _, test := range []struct {
		sizes []uint32
		want  int
	}{
		{nil, 0},
		{[]uint32{5}, 0},
		{[]uint32{1, 2, 4, 8}, 0},
		{[]uint32{1, 1}, 2},
		{[]uint32{3, 3, 3, 100}, 3},
		{[]uint32{3, 3, 3, 17, 100}, 4},
		{[]uint32{1, 2, 4, 7, 1000}, 4},
		{[]uint32{10, 10, 30, 60, 130}, 5},
	} {
		var packs []onePack
		for _, n := range test.sizes {
			packs = append(packs, onePack{objects: n})
		}
		if got := geometricSplit(packs); got != test.want {
			t.Errorf("%v: %d, want %d", test.sizes, got, test.want)
		}
	}
}

func FuzzReadOIDTable(f *testing.F) {
	header := append([]byte(idxMagic), make([]byte, 256*4)...)
	f.Add(header)
	header[len(header)-1] = 2
	f.Add(append(header, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		table, err := parseOIDTable(bytes.NewReader(data), int64(len(data)), 20)
		if err == nil && table.count() > 0 {
			table.has(table.at(0))
		}
	})
}
