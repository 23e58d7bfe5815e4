package itest

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/binary"
)

// releaseTimeout is for two builds on a slow machine.
const releaseTimeout = 15 * time.Minute

// TestRelease: one command makes the archive of a release, twice with the same bytes, and
// what is in it works.
func TestRelease(t *testing.T) {
	t.Parallel()
	if said, err := exec.Command("git", "-C", binary.SourceDir(), "rev-parse", "HEAD").CombinedOutput(); err != nil {
		t.Skipf("the source is no commit of git: %s", said)
	}
	if said, _ := exec.Command("tar", "--version").Output(); !bytes.Contains(said, []byte("GNU")) {
		t.Skip("there is no GNU tar")
	}
	const version = "v9.8.7-test"
	name := "peer_" + version + "_" + runtime.GOOS + "_" + runtime.GOARCH
	ctx, cancel := context.WithTimeout(t.Context(), releaseTimeout)
	defer cancel()
	var first, second []byte
	for _, archive := range []*[]byte{&first, &second} {
		dist := t.TempDir()
		cmd := exec.CommandContext(ctx, "bash", "deploy/release.sh", version)
		cmd.Dir = binary.SourceDir()
		cmd.Env = append(os.Environ(), "DIST="+dist, "PLATFORMS="+runtime.GOOS+"/"+runtime.GOARCH, "GOWORK=off")
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		raw, err := os.ReadFile(filepath.Join(dist, name+".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		*archive = raw
		check := exec.CommandContext(ctx, "sha256sum", "-c", "SHA256SUMS")
		check.Dir = dist
		if said, err := check.CombinedOutput(); err != nil || !bytes.Contains(said, []byte(name)) {
			t.Errorf("sha256sum: %v\n%s", err, said)
		}
	}
	if !bytes.Equal(first, second) {
		t.Errorf("the same source makes another archive: %d and %d bytes", len(first), len(second))
	}
	dir := t.TempDir()
	unpack := exec.CommandContext(ctx, "tar", "-xzf", "-")
	unpack.Dir, unpack.Stdin = dir, bytes.NewReader(first)
	if said, err := unpack.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	said, err := exec.CommandContext(ctx, filepath.Join(dir, name, "peer"), "version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "peer "+version+" ") {
		t.Errorf("peer version: %v\n%s", err, said)
	}
	for _, file := range []string{
		"README.md", "CHANGELOG.md", "LICENSE", "peer.service", "docs/deploy.md", "man/man1/peer.1", "man/man1/peer-node.1",
		"completions/peer.bash", "completions/peer.zsh", "completions/peer.fish",
	} {
		if info, err := os.Stat(filepath.Join(dir, name, file)); err != nil || info.Size() == 0 {
			t.Errorf("the archive lacks %s: %v", file, err)
		}
	}
	page, err := os.ReadFile(filepath.Join(dir, name, "man/man1/peer.1"))
	if err != nil || !bytes.Contains(page, []byte(`peer v9.8.7\-test`)) {
		t.Errorf("peer(1) is of another version: %v", err)
	}
}
