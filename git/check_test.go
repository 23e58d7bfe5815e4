package git

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
)

// ingested puts objects into a quarantine of r that the test discards.
func ingested(t *testing.T, r *Repo, pack []byte, o IngestOptions) *Quarantine {
	t.Helper()
	q, err := r.Ingest(testContext(t), bytes.NewReader(pack), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Discard() })
	return q
}

func TestCheckFindsMissingObjects(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r := newRepo(t, f)
		blob := []byte("x")
		absentBlob := objectID(f, "blob", []byte("absent"))
		here := treeEntry("100644", "a", objectID(f, "blob", blob))
		incomplete := treeEntry("100644", "a", absentBlob)
		absent := objectID(f, "commit", []byte("absent"))
		p := newPackWriter(f)
		p.object(packBlob, blob)
		p.object(packTree, here)
		whole := commitOf(f, objectID(f, "tree", here), "")
		p.object(packCommit, whole)
		wholeID := objectID(f, "commit", whole)
		q := ingested(t, r, p.finish(), IngestOptions{})
		ctx := testContext(t)

		if _, err := q.Check(ctx, []OID{wholeID}); err != nil {
			t.Errorf("all is there: %v", err)
		}
		var missing *MissingError
		if _, err := q.Check(ctx, []OID{wholeID, absent}); !errors.As(err, &missing) || len(missing.OIDs) != 1 || missing.OIDs[0] != absent {
			t.Errorf("new object absent: %v", err)
		}
		if _, err := r.Check(ctx, []OID{wholeID}); !errors.As(err, &missing) {
			t.Errorf("without the quarantine: %v", err)
		}
		if got, err := r.Check(ctx, nil); err != nil || len(got) != 0 {
			t.Errorf("nothing to check: %v, %v", got, err)
		}

		// Strict indexing sees a link out of the pack; were it to let one through,
		// the walk must not.
		p = newPackWriter(f)
		p.object(packTree, incomplete)
		lacks := commitOf(f, objectID(f, "tree", incomplete), "")
		p.object(packCommit, lacks)
		pack := p.finish()
		_, err := r.Ingest(ctx, bytes.NewReader(pack), IngestOptions{})
		var bad *BadPackError
		if !errors.As(err, &bad) {
			t.Errorf("strict indexing: %v", err)
		}
		c := r.command("index-pack", "--stdin")
		c.Stdin = bytes.NewReader(pack)
		if out, err := c.Output(ctx, 1<<10); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, err := r.Check(ctx, []OID{objectID(f, "commit", lacks)}); !errors.As(err, &missing) || missing.Detail == "" {
			t.Errorf("blob absent: %v", err)
		}
	})
}

// An object that has been replaced locally is still what its ID says.
func TestCheckIgnoresReplaceRefs(t *testing.T) {
	f := SHA1
	r, w := newRepo(t, f), newWork(t, f)
	good := w.commit("a", "a")
	publish(t, r, w.pack(good), good)
	ctx := testContext(t)
	lacks := commitOf(f, objectID(f, "tree", []byte("absent")), "")
	p := newPackWriter(f)
	p.object(packCommit, lacks)
	c := r.command("index-pack", "--stdin")
	c.Stdin = bytes.NewReader(p.finish())
	if _, err := c.Output(ctx, 1<<10); err != nil {
		t.Fatal(err)
	}
	id := objectID(f, "commit", lacks)
	err := r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{
		{Name: "refs/heads/main", OID: good}, {Name: "refs/replace/" + id.String(), OID: good},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var missing *MissingError
	if _, err := r.Check(ctx, []OID{id}); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
}

func TestShallowPushes(t *testing.T) {
	f := SHA1
	r, origin := newRepo(t, f), newWork(t, f)
	first := origin.commit("a", "1")
	second := origin.commit("a", "2")
	shallow := &work{t: t, dir: filepath.Join(t.TempDir(), "clone")}
	cmd := exec.Command("git", "clone", "-q", "--depth=1", "file://"+origin.dir, shallow.dir)
	cmd.Env = workEnv()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	third := shallow.commit("a", "3")
	cmd = shallow.cmd("pack-objects", "--revs", "--stdout", "--thin", "--shallow", "-q")
	cmd.Stdin = bytes.NewReader([]byte(third.String() + "\n"))
	pack, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	roots := []OID{second}
	ctx := testContext(t)

	// Here nothing is known of what lies below the root.
	_, err = r.Ingest(ctx, bytes.NewReader(pack), IngestOptions{Shallow: roots})
	var root *ShallowError
	if !errors.As(err, &root) || len(root.Roots) != 1 || root.Roots[0] != second {
		t.Errorf("to an empty repository: %v", err)
	}
	c := r.command("index-pack", "--stdin")
	c.Stdin = bytes.NewReader(pack)
	q, err := r.newQuarantine()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Discard() }()
	c.Env = q.command().Env
	if _, err := c.Output(ctx, 1<<10); err != nil {
		t.Fatal(err)
	}
	if indexes, err := filepath.Glob(filepath.Join(q.dir, "pack", "*.idx")); err != nil || len(indexes) != 1 {
		t.Fatal(indexes, err)
	} else {
		q.IdxPath = indexes[0]
	}
	if _, err := q.CheckPush(ctx, []OID{third}, roots, nil); !errors.As(err, &root) {
		t.Errorf("check: %v", err)
	}
	var missing *MissingError
	if _, err := q.Check(ctx, []OID{third}); !errors.As(err, &missing) {
		t.Errorf("check without roots: %v", err)
	}

	// Here it is, and a clone's depth is its own affair.
	publish(t, r, origin.pack(second), second)
	got := ingested(t, r, pack, IngestOptions{Shallow: roots})
	if _, err := got.CheckPush(ctx, []OID{third}, roots, []OID{second}); err != nil {
		t.Errorf("to a repository with the base: %v", err)
	}
	if have, err := r.Objects(ctx, []OID{first}); err != nil || len(have) != 1 {
		t.Errorf("%v, %v", have, err)
	}
}
