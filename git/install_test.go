package git

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// payload is a pack with its index, as it travels to other replicas.
func payload(t *testing.T, f Format) (name string, pack, idx []byte, tip OID) {
	t.Helper()
	leader, w := newRepo(t, f), newWork(t, f)
	tip = w.commit("a", "text")
	q := ingested(t, leader, w.pack(tip), IngestOptions{})
	pack, err := os.ReadFile(q.PackPath)
	if err != nil {
		t.Fatal(err)
	}
	if idx, err = os.ReadFile(q.IdxPath); err != nil {
		t.Fatal(err)
	}
	return q.Name, pack, idx, tip
}

func TestInstallPack(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		name, pack, idx, tip := payload(t, f)
		r := newRepo(t, f)
		if r.HasPack(name) {
			t.Error("there before it was installed")
		}
		for range 2 {
			if err := r.InstallPack(name, pack, idx); err != nil {
				t.Fatal(err)
			}
			if !r.HasPack(name) {
				t.Error("not there")
			}
		}
		if _, err := r.Check(testContext(t), []OID{tip}); err != nil {
			t.Error(err)
		}
		fsck(t, r)
		noLitter(t, r)
	})
}

func TestInstallFiles(t *testing.T) {
	name, pack, idx, tip := payload(t, SHA1)
	r := newRepo(t, SHA1)
	staging := t.TempDir()
	packPath, idxPath := filepath.Join(staging, "p"), filepath.Join(staging, "i")
	for path, data := range map[string][]byte{packPath: pack, idxPath: idx} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := r.InstallFiles(name, packPath, idxPath); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(packPath); err != nil {
		t.Errorf("the staged pack is gone: %v", err)
	}
	if _, err := r.Check(testContext(t), []OID{tip}); err != nil {
		t.Error(err)
	}
	noLitter(t, r)
}

func TestCopySynced(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := os.WriteFile(from, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := copySynced(to, from); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(to); err != nil || string(got) != "text" {
		t.Errorf("%q, %v", got, err)
	}
}

// Whatever a crash left of an installation, the next one completes it.
func TestInstallAfterACrash(t *testing.T) {
	name, pack, idx, tip := payload(t, SHA1)
	for _, test := range []struct {
		name      string
		pack, idx []byte // as found; nil: absent
	}{
		{"pack without index", pack, nil},
		{"half a pack", pack[:len(pack)/2], nil},
		{"index without pack", nil, idx},
		{"half an index", pack, idx[:100]},
		{"nothing in either", []byte{}, []byte{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t, SHA1)
			for path, data := range map[string][]byte{r.PackPath(name): test.pack, r.IdxPath(name): test.idx} {
				if data == nil {
					continue
				}
				if err := os.WriteFile(path, data, 0o444); err != nil {
					t.Fatal(err)
				}
			}
			if test.idx == nil && r.HasPack(name) {
				t.Error("a pack without its index counts as there")
			}
			if err := r.InstallPack(name, pack, idx); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Check(testContext(t), []OID{tip}); err != nil {
				t.Error(err)
			}
			fsck(t, r)
			noLitter(t, r)
		})
	}
}

func TestInstallRefuses(t *testing.T) {
	name, pack, idx, _ := payload(t, SHA1)
	otherName, otherPack, otherIdx, _ := payload(t, SHA256)
	r := newRepo(t, SHA1)
	for what, try := range map[string]struct {
		name      string
		pack, idx []byte
	}{
		"path":           {"../../../x", pack, idx},
		"path of length": {strings.Repeat("../", 13) + "x", pack, idx},
		"upper case":     {strings.ToUpper(name), pack, idx},
		"short":          {name[:39], pack, idx},
		"another name":   {strings.Repeat("a", 40), pack, idx},
		"cut":            {name, pack[:len(pack)-1], idx},
		"another index":  {name, pack, otherIdx},
		"another format": {otherName, otherPack, otherIdx},
		"nothing":        {name, nil, nil},
	} {
		if err := r.InstallPack(try.name, try.pack, try.idx); err == nil {
			t.Errorf("%s: installed", what)
		}
		if r.HasPack(try.name) {
			t.Errorf("%s: there", what)
		}
	}
	noLitter(t, r)
}

func TestPackObjects(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		source, target, w := newRepo(t, f), newRepo(t, f), newWork(t, f)
		first := w.commit("a", strings.Repeat("text\n", 1000))
		second := w.commit("a", strings.Repeat("text\n", 1000)+"x")
		publish(t, source, w.pack(second), second)
		publish(t, target, w.pack(first), first)

		var pack bytes.Buffer
		haves := []OID{first, someOID(f, 1)} // one that the source has never seen
		if err := source.PackObjects(ctx, []OID{second, second}, haves, &pack); err != nil {
			t.Fatal(err)
		}
		q := ingested(t, target, pack.Bytes(), IngestOptions{})
		if !q.Completed {
			t.Error("the pack was not thin")
		}
		if _, err := q.Check(ctx, []OID{second}); err != nil {
			t.Error(err)
		}
		err := source.PackObjects(ctx, []OID{second, someOID(f, 2)}, nil, failWriter{t})
		if missing := new(*MissingError); !errors.As(err, missing) || len((*missing).OIDs) != 1 {
			t.Errorf("got %v", err)
		}
	})
}

// failWriter must not be written to.
type failWriter struct{ t *testing.T }

func (w failWriter) Write(p []byte) (int, error) {
	w.t.Errorf("%d bytes written", len(p))
	return len(p), nil
}

// TestTempNames: a name that was handed out is not handed out again, though nothing is
// there yet that shows that it is taken.
func TestTempNames(t *testing.T) {
	t.Parallel()
	r, seen := newRepo(t, SHA1), map[string]bool{}
	for range 300_000 { // of 32 bits at random some would be the same
		seen[r.tempName()] = true
	}
	if len(seen) != 300_000 {
		t.Errorf("300,000 names, of which %d differ", len(seen))
	}
}
