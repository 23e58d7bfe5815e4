package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"
)

func TestPushRoundTrip(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		ctx := testContext(t)
		r, w := newRepo(t, f), newWork(t, f)
		first := w.commit("a.txt", strings.Repeat("line\n", 2000))
		publish(t, r, w.pack(first), first)

		second := w.commit("a.txt", strings.Repeat("line\n", 2000)+"more\n")
		w.git("tag", "-a", "-m", "v1", "v1")
		tag := w.oid("v1")
		thin := w.pack(tag, first)
		q, err := r.Ingest(ctx, bytes.NewReader(thin), IngestOptions{Sync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = q.Discard() }()
		if !q.Completed || q.RawSize != int64(len(thin)) || q.PackSize <= q.RawSize || q.Objects != 5 {
			t.Errorf("thin pack of %d bytes: %+v", len(thin), q)
		}
		if info, err := os.Stat(q.PackPath); err != nil || info.Size() != q.PackSize {
			t.Errorf("pack: %v, %v", info, err)
		}
		// What git adds comes after what was sent, which followers rely on.
		done, err := os.ReadFile(q.PackPath)
		if err != nil {
			t.Fatal(err)
		}
		if keep := len(thin) - f.RawLen(); !bytes.Equal(done[PackHeaderBytes:keep], thin[PackHeaderBytes:keep]) {
			t.Error("completing the pack changed what was sent")
		}
		got, err := q.Check(ctx, []OID{second, tag})
		if err != nil {
			t.Fatal(err)
		}
		want := map[OID]Object{
			second: {second, Commit, second, Commit},
			tag:    {tag, Tag, second, Commit},
		}
		for oid, o := range want {
			if got[oid] != o {
				t.Errorf("%s is %+v, want %+v", oid, got[oid], o)
			}
		}
		if have, err := r.Objects(ctx, []OID{second, first}); err != nil || len(have) != 1 {
			t.Errorf("before it is published readers see %v, %v", have, err)
		}
		if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
			t.Fatal(err)
		}
		if err := q.Discard(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Check(ctx, []OID{tag}); err != nil {
			t.Errorf("after it is published: %v", err)
		}
		fsck(t, r)
		noLitter(t, r)
	})
}

func TestIngestEmptyPack(t *testing.T) {
	r := newRepo(t, SHA1)
	q, err := r.Ingest(testContext(t), bytes.NewReader(newPackWriter(SHA1).finish()), IngestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if q.Objects != 0 {
		t.Errorf("%d objects", q.Objects)
	}
	if err := q.Discard(); err != nil {
		t.Fatal(err)
	}
}

func TestIngestRefusesBrokenPacks(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		r, w := newRepo(t, f), newWork(t, f)
		first := w.commit("a", strings.Repeat("some text\n", 100))
		good := w.pack(first)
		second := w.commit("a", strings.Repeat("some text\n", 100)+"x")
		flip := func(at int) []byte {
			b := bytes.Clone(good)
			b[at] ^= 0x40
			return b
		}
		for name, pack := range map[string][]byte{
			"empty":         {},
			"header only":   good[:12],
			"cut short":     good[:len(good)/2],
			"without sum":   good[:len(good)-f.RawLen()],
			"not a pack":    bytes.Repeat([]byte("hello "), 100_000),
			"body changed":  flip(len(good) / 2),
			"sum changed":   flip(len(good) - 1),
			"count changed": flip(11),
			"bytes after":   append(bytes.Clone(good), "junk"...),
			"many after":    append(bytes.Clone(good), make([]byte, 4<<20)...),
			"absent bases":  w.pack(second, first),
		} {
			t.Run(name, func(t *testing.T) {
				q, err := r.Ingest(testContext(t), bytes.NewReader(pack), IngestOptions{})
				var bad *BadPackError
				if !errors.As(err, &bad) || bad.Detail == "" {
					t.Errorf("got %v, %v", q, err)
				}
			})
		}
		noLitter(t, r)
	})
}

func TestIngestRefusesDangerousObjects(t *testing.T) {
	f := SHA1
	blob := []byte("x")
	blobID := objectID(f, "blob", blob)
	sub := treeEntry("100644", "config", blobID)
	subID := objectID(f, "tree", sub)
	modules := []byte("[submodule \"../evil\"]\n\tpath = a\n\turl = --upload-pack=touch\n")
	plain := treeEntry("100644", "f", blobID)
	for _, test := range []struct {
		name   string
		tree   []byte
		extra  string // lines of the commit
		commit func([]byte) []byte
		word   string // in the refusal; empty: accepted
	}{
		{name: "fine", tree: plain},
		{name: ".git directory", tree: treeEntry("40000", ".git", subID), word: "hasDotgit"},
		{name: ".GIT directory", tree: treeEntry("40000", ".GIT", subID), word: "hasDotgit"},
		{name: "git~1, as NTFS has it", tree: treeEntry("40000", "git~1", subID), word: "hasDotgit"},
		{name: "..", tree: treeEntry("40000", "..", subID), word: "hasDotdot"},
		{name: ".", tree: treeEntry("40000", ".", subID), word: "hasDot"},
		{name: "slash in a name", tree: treeEntry("100644", "a/b", blobID), word: "fullPathname"},
		{name: "no name", tree: treeEntry("100644", "", blobID), word: "empty filename"},
		{name: "twice the same", tree: append(treeEntry("100644", "a", blobID), treeEntry("100644", "a", blobID)...), word: "duplicateEntries"},
		{name: "not sorted", tree: append(treeEntry("100644", "b", blobID), treeEntry("100644", "a", blobID)...), word: "treeNotSorted"},
		{name: "evil .gitmodules", tree: treeEntry("100644", ".gitmodules", objectID(f, "blob", modules)), word: "gitmodules"},
		{name: "no author", tree: plain, commit: func(c []byte) []byte {
			return bytes.Replace(c, []byte("author a <a@b.c> 1700000000 +0000\n"), nil, 1)
		}, word: "missingAuthor"},

		{name: "old: zero-padded mode", tree: treeEntry("040000", "d", subID)},
		{name: "old: time zone", tree: plain, commit: func(c []byte) []byte {
			return bytes.Replace(c, []byte("+0000"), []byte("+051800"), 1)
		}},
		{name: "old: no space before date", tree: plain, commit: func(c []byte) []byte {
			return bytes.Replace(c, []byte("> 1700000000"), []byte(">1700000000"), 1)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRepo(t, f)
			commit := commitOf(f, objectID(f, "tree", test.tree), test.extra)
			if test.commit != nil {
				commit = test.commit(commit)
			}
			p := newPackWriter(f)
			p.object(packBlob, blob)
			p.object(packBlob, modules)
			p.object(packTree, sub)
			p.object(packTree, test.tree)
			p.object(packCommit, commit)
			q, err := r.Ingest(testContext(t), bytes.NewReader(p.finish()), IngestOptions{})
			var bad *BadPackError
			switch {
			case test.word == "" && err != nil:
				t.Error(err)
			case test.word == "":
				if _, err := q.Check(testContext(t), []OID{objectID(f, "commit", commit)}); err != nil {
					t.Error(err)
				}
			case !errors.As(err, &bad) || !strings.Contains(bad.Detail, test.word):
				t.Errorf("want a word about %s, got %v", test.word, err)
			}
		})
	}
}

func TestIngestSizeLimit(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	pack := w.pack(w.commit("a", strings.Repeat("text\n", 10)))
	_, err := r.Ingest(testContext(t), bytes.NewReader(pack), IngestOptions{MaxBytes: int64(len(pack)) - 1})
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
	q, err := r.Ingest(testContext(t), bytes.NewReader(pack), IngestOptions{MaxBytes: int64(len(pack))})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Discard(); err != nil {
		t.Fatal(err)
	}
	noLitter(t, r)
}

// A delta of a few bytes whose result would need 3 GiB must end at the limit, and
// in a refusal.
func TestIngestDeltaBomb(t *testing.T) {
	base := make([]byte, 1<<20)
	const copies = 3 << 10
	delta := append(varint(uint64(len(base))), varint(copies<<20)...)
	for range copies {
		delta = append(delta, 0x80|0x40, 0x10) // copy 0x100000 bytes from offset 0
	}
	p := newPackWriter(SHA1)
	at := p.object(packBlob, base)
	p.entry(packOfsDelta, len(delta), p.offset(at), delta)
	pack := p.finish()
	if len(pack) > 10<<10 {
		t.Fatalf("a bomb of %d bytes", len(pack))
	}
	r := newRepo(t, SHA1)
	_, err := r.Ingest(testContext(t), bytes.NewReader(pack), IngestOptions{MemoryBytes: 256 << 20})
	var bad *BadPackError
	if !errors.As(err, &bad) || !strings.Contains(bad.Detail, "memory") {
		t.Errorf("got %v", err)
	}
	noLitter(t, r)
}

// A tree that says it has 3 GiB is believed by git until the memory is gone.
func TestIngestSizeBomb(t *testing.T) {
	p := newPackWriter(SHA1)
	p.entry(packTree, 3<<30, nil, make([]byte, 1<<20))
	r := newRepo(t, SHA1)
	_, err := r.Ingest(testContext(t), bytes.NewReader(p.finish()), IngestOptions{MemoryBytes: 256 << 20})
	var bad *BadPackError
	if !errors.As(err, &bad) || !strings.Contains(bad.Detail, "memory") {
		t.Errorf("got %v", err)
	}
}

// A large blob by itself is no bomb: it streams by in little memory.
func TestIngestLargeBlob(t *testing.T) {
	blob := bytes.Repeat([]byte("0123456789abcdef"), 200<<16) // 200 MiB
	p := newPackWriter(SHA1)
	p.object(packBlob, blob)
	r := newRepo(t, SHA1)
	q, err := r.Ingest(testContext(t), bytes.NewReader(p.finish()), IngestOptions{MemoryBytes: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Discard(); err != nil {
		t.Fatal(err)
	}
}

// A few bytes on top of each large object in the repository make git append all
// of these; the file may not grow past its limit.
func TestIngestCompletionBomb(t *testing.T) {
	r := newRepo(t, SHA1)
	p := newPackWriter(SHA1)
	bomb := newPackWriter(SHA1)
	p.level = zlib.NoCompression
	for i := range byte(9) {
		large := noise(8<<20, i)
		p.object(packBlob, large)
		delta := append(varint(uint64(len(large))), varint(4)...)
		delta = append(delta, 4, 'a', 'b', 'c', i)
		bomb.entry(packRefDelta, len(delta), objectID(SHA1, "blob", large).Bytes(), delta)
	}
	ctx := testContext(t)
	q, err := r.Ingest(ctx, bytes.NewReader(p.finish()), IngestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
		t.Fatal(err)
	}
	_, err = r.Ingest(ctx, bytes.NewReader(bomb.finish()), IngestOptions{MaxBytes: 1 << 20})
	var large *TooLargeError
	if !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
}

// stalled gives some bytes and then waits for the end of a context.
type stalled struct {
	ctx  context.Context
	data []byte
}

func (s *stalled) Read(p []byte) (int, error) {
	if len(s.data) > 0 {
		n := copy(p, s.data)
		s.data = s.data[n:]
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func TestIngestEndsWithItsContext(t *testing.T) {
	r := newRepo(t, SHA1)
	ctx, cancel := context.WithTimeout(testContext(t), 200*time.Millisecond)
	defer cancel()
	_, err := r.Ingest(ctx, &stalled{ctx: ctx, data: []byte("PACK\x00\x00\x00\x02\x00\x00\x00\x09")}, IngestOptions{})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	noLitter(t, r)
}

// endless never ends and is no pack, so git gives up at its beginning.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

func TestIngestStopsReadingWhenGitGivesUp(t *testing.T) {
	r, src := newRepo(t, SHA1), new(endless)
	_, err := r.Ingest(testContext(t), src, IngestOptions{})
	var bad *BadPackError
	if !errors.As(err, &bad) {
		t.Errorf("got %v", err)
	}
	if src.read > 64<<20 {
		t.Errorf("read %d bytes after git had given up", src.read)
	}
}

func TestIngestReportsThePushersFailure(t *testing.T) {
	r, gone := newRepo(t, SHA1), errors.New("connection reset")
	src := io.MultiReader(strings.NewReader("PACK"), &failing{gone})
	if _, err := r.Ingest(testContext(t), src, IngestOptions{}); !errors.Is(err, gone) {
		t.Errorf("got %v", err)
	}
	noLitter(t, r)
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }
