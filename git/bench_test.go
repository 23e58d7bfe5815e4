package git

import (
	"bytes"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func BenchmarkWriteRefs100k(b *testing.B) {
	r, err := Create(b.Context(), filepath.Join(b.TempDir(), "r.git"), SHA1, "refs/heads/main")
	if err != nil {
		b.Fatal(err)
	}
	l := Listing{Head: "refs/heads/main", Peeled: true}
	for i := range 100_000 {
		l.Refs = append(l.Refs, Ref{Name: fmt.Sprintf("refs/heads/branch-%06d", i), OID: someOID(SHA1, i)})
	}
	for b.Loop() {
		if err := r.WriteRefs(l); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPushOneCommit is what a small push costs the leader here; its parts
// are reported beside it. BenchmarkGitVersion is the floor of one process.
func BenchmarkPushOneCommit(b *testing.B) {
	r, err := Create(b.Context(), filepath.Join(b.TempDir(), "r.git"), SHA1, "refs/heads/main")
	if err != nil {
		b.Fatal(err)
	}
	blob := []byte("text")
	tree := treeEntry("100644", "a", objectID(SHA1, "blob", blob))
	var parts [3]float64
	n := 0
	for b.Loop() {
		commit := commitOf(SHA1, objectID(SHA1, "tree", tree), "")
		commit = fmt.Appendf(commit, "%d", n)
		p := newPackWriter(SHA1)
		p.object(packBlob, blob)
		p.object(packTree, tree)
		p.object(packCommit, commit)
		tip := objectID(SHA1, "commit", commit)
		t0 := b.Elapsed()
		q, err := r.Ingest(b.Context(), bytes.NewReader(p.finish()), IngestOptions{})
		if err != nil {
			b.Fatal(err)
		}
		t1 := b.Elapsed()
		if _, err := q.Check(b.Context(), []OID{tip}); err != nil {
			b.Fatal(err)
		}
		t2 := b.Elapsed()
		if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
			b.Fatal(err)
		}
		if err := q.Discard(); err != nil {
			b.Fatal(err)
		}
		if err := r.WriteRefs(Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: tip}}}); err != nil {
			b.Fatal(err)
		}
		t3 := b.Elapsed()
		parts[0] += (t1 - t0).Seconds()
		parts[1] += (t2 - t1).Seconds()
		parts[2] += (t3 - t2).Seconds()
		n++
	}
	for i, name := range []string{"ingest-ms", "check-ms", "publish-ms"} {
		b.ReportMetric(parts[i]*1e3/float64(n), name)
	}
}

func BenchmarkGitVersion(b *testing.B) {
	for b.Loop() {
		if _, err := InstalledVersion(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClone compares a clone through UploadPack with the same by git daemon.
func BenchmarkClone(b *testing.B) {
	const megabytes = 64
	base := b.TempDir()
	r, err := Create(b.Context(), filepath.Join(base, "r"), SHA1, "refs/heads/main")
	if err != nil {
		b.Fatal(err)
	}
	p := newPackWriter(SHA1)
	p.level = 0
	var tree []byte
	for i := range byte(megabytes) {
		blob := noise(1<<20, i)
		p.object(packBlob, blob)
		tree = append(tree, treeEntry("100644", fmt.Sprintf("f%03d", i), objectID(SHA1, "blob", blob))...)
	}
	p.object(packTree, tree)
	commit := commitOf(SHA1, objectID(SHA1, "tree", tree), "")
	p.object(packCommit, commit)
	q, err := r.Ingest(b.Context(), bytes.NewReader(p.finish()), IngestOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.InstallFiles(q.Name, q.PackPath, q.IdxPath); err != nil {
		b.Fatal(err)
	}
	if err := q.Discard(); err != nil {
		b.Fatal(err)
	}
	l := Listing{Head: "refs/heads/main", Refs: []Ref{{Name: "refs/heads/main", OID: objectID(SHA1, "commit", commit)}}}
	if err := r.WriteRefs(l); err != nil {
		b.Fatal(err)
	}
	clone := func(b *testing.B, url string) {
		for b.Loop() {
			cmd := exec.Command("git", "clone", "-q", "--bare", url, filepath.Join(b.TempDir(), "c"))
			cmd.Env = workEnv()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, out)
			}
		}
		b.SetBytes(megabytes << 20)
	}
	b.Run("here", func(b *testing.B) { clone(b, serveOn(b, r, new(countedGate))) })
	b.Run("daemon", func(b *testing.B) {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		port := strings.TrimPrefix(free.Addr().String(), "127.0.0.1:")
		_ = free.Close()
		cmd := exec.CommandContext(b.Context(), "git", "daemon", "--export-all", "--base-path="+base, "--listen=127.0.0.1", "--port="+port, "--reuseaddr")
		cmd.Env = workEnv()
		ownGroup(cmd)
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() {
			_ = cmd.Cancel()
			_ = cmd.Wait()
		}()
		for b.Context().Err() == nil {
			if conn, err := net.Dial("tcp", "127.0.0.1:"+port); err == nil {
				_ = conn.Close()
				break
			}
		}
		clone(b, "git://127.0.0.1:"+port+"/r")
	})
}
