package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// eachFormat runs a test once for each object format.
func eachFormat(t *testing.T, test func(t *testing.T, f Format)) {
	for _, f := range []Format{SHA1, SHA256} {
		t.Run(string(f), func(t *testing.T) { test(t, f) })
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func newRepo(t *testing.T, f Format) *Repo {
	t.Helper()
	r, err := Create(testContext(t), filepath.Join(t.TempDir(), "r.git"), f, "refs/heads/main")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// work is a person's work tree.
type work struct {
	t   *testing.T
	dir string
}

func workEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
}

func newWork(t *testing.T, f Format) *work {
	t.Helper()
	w := &work{t: t, dir: t.TempDir()}
	w.git("init", "-q", "-b", "main", "--object-format="+string(f))
	return w
}

func (w *work) cmd(args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir, cmd.Env = w.dir, workEnv()
	return cmd
}

// git runs git in the work tree and returns what it printed, trimmed.
func (w *work) git(args ...string) string {
	w.t.Helper()
	return w.gitIn(nil, args...)
}

func (w *work) gitIn(stdin []byte, args ...string) string {
	w.t.Helper()
	cmd := w.cmd(args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(string(out))
}

// commit writes a file, commits, and returns the commit.
func (w *work) commit(file, text string) OID {
	w.t.Helper()
	path := filepath.Join(w.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
	w.git("add", "-A")
	w.git("commit", "-q", "-m", "change "+file)
	return w.oid("HEAD")
}

func (w *work) oid(expr string) OID {
	w.t.Helper()
	return mustOID(w.t, w.git("rev-parse", expr))
}

// pack is what a push of want to somebody who has haves sends.
func (w *work) pack(want OID, haves ...OID) []byte {
	w.t.Helper()
	cmd := w.cmd("pack-objects", "--revs", "--stdout", "--thin", "--delta-base-offset", "-q")
	cmd.Stdin = strings.NewReader(revisions([]OID{want}, haves))
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// packOf packs these objects, and nothing that they reach.
func (w *work) packOf(oids ...OID) []byte {
	w.t.Helper()
	cmd := w.cmd("pack-objects", "--stdout", "-q")
	cmd.Stdin = strings.NewReader(revisions(oids, nil))
	out, err := cmd.Output()
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func mustOID(t *testing.T, s string) OID {
	t.Helper()
	o, err := ParseOID(s)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// publish ingests a pack, checks it, installs it and moves main.
func publish(t *testing.T, r *Repo, pack []byte, tip OID) {
	t.Helper()
	ctx := testContext(t)
	q, err := r.Ingest(ctx, bytes.NewReader(pack), IngestOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.Check(ctx, []OID{tip}); err != nil {
		t.Fatal(err)
	}
	if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
		t.Fatal(err)
	}
	if err := q.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: tip}}}); err != nil {
		t.Fatal(err)
	}
}

// fsck lets git look at all of a repository.
func fsck(t *testing.T, r *Repo) {
	t.Helper()
	if out, err := r.command("fsck", "--full", "--strict", "--no-dangling").Output(testContext(t), 1<<20); err != nil {
		t.Fatalf("fsck: %v: %s", err, out)
	}
}

// noLitter fails if anything temporary is left in the repository.
func noLitter(t *testing.T, r *Repo) {
	t.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && (strings.Contains(d.Name(), "tmp") || strings.HasSuffix(d.Name(), ".lock")) {
			t.Errorf("left behind: %s", path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Types of entries in a pack.
const (
	packCommit   = 1
	packTree     = 2
	packBlob     = 3
	packOfsDelta = 6
	packRefDelta = 7
)

// packWriter makes packs that git itself would not.
type packWriter struct {
	bytes.Buffer
	format Format
	level  int // of compression
	n      uint32
}

func newPackWriter(f Format) *packWriter {
	w := &packWriter{format: f, level: zlib.BestSpeed}
	w.WriteString("PACK\x00\x00\x00\x02\x00\x00\x00\x00")
	return w
}

// entry appends an object and returns its offset. base precedes a delta: a raw
// ID, or an encoded offset.
func (w *packWriter) entry(kind byte, size int, base []byte, data []byte) int {
	at := w.Len()
	c := kind<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		w.WriteByte(c | 0x80)
		c = byte(size & 0x7f)
	}
	w.WriteByte(c)
	w.Write(base)
	z, err := zlib.NewWriterLevel(w, w.level)
	if err != nil {
		panic(err)
	}
	_, _ = z.Write(data)
	_ = z.Close()
	w.n++
	return at
}

func (w *packWriter) object(kind byte, data []byte) int { return w.entry(kind, len(data), nil, data) }

// offset encodes the distance to an earlier entry.
func (w *packWriter) offset(to int) []byte {
	d := w.Len() - to
	out := []byte{byte(d & 0x7f)}
	for d >>= 7; d > 0; d >>= 7 {
		d--
		out = append([]byte{byte(d&0x7f) | 0x80}, out...)
	}
	return out
}

func (w *packWriter) finish() []byte {
	data := w.Bytes()
	binary.BigEndian.PutUint32(data[8:], w.n)
	h := newHash(w.format)
	h.Write(data)
	return h.Sum(data)
}

func newHash(f Format) hash.Hash {
	if f == SHA256 {
		return sha256.New()
	}
	return sha1.New()
}

func objectID(f Format, kind string, data []byte) OID {
	h := newHash(f)
	fmt.Fprintf(h, "%s %d\x00", kind, len(data))
	h.Write(data)
	o, err := FromBytes(h.Sum(nil))
	if err != nil {
		panic(err)
	}
	return o
}

// treeWith is a tree of one blob, and a commit of that tree.
func commitOf(f Format, tree OID, extra string) []byte {
	return fmt.Appendf(nil, "tree %s\n%sauthor a <a@b.c> 1700000000 +0000\ncommitter a <a@b.c> 1700000000 +0000\n\nmsg\n", tree, extra)
}

func treeEntry(mode, name string, oid OID) []byte {
	return append(fmt.Appendf(nil, "%s %s\x00", mode, name), oid.Bytes()...)
}

// varint is the little-endian size in a delta's header.
func varint(n uint64) []byte {
	var out []byte
	for n >= 0x80 {
		out = append(out, byte(n)|0x80)
		n >>= 7
	}
	return append(out, byte(n))
}

// noise is bytes that nothing compresses, the same for the same seed.
func noise(n int, seed byte) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}
