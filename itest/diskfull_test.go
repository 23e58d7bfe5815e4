package itest

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	// A node refuses packs while its disk has less room than 256 MiB. So there is
	// a little more at first, and a push that needs it all.
	diskBytes   = 420 << 20
	roomBytes   = 262 << 20
	pushedBlobs = 145 // of packBlobBytes: more than the room
)

// TestDiskFull fills the disk of a node in the middle of a push, once that of a
// follower and once that of the leader. Nothing is lost, the refusal is clear, and
// the node takes part again after somebody made room and restarted it.
func TestDiskFull(t *testing.T) {
	if testing.Short() {
		t.Skip("it pushes packs of 300 MB")
	}
	t.Parallel()
	disks := map[int]*smallDisk{follower: newSmallDisk(t), leader: newSmallDisk(t)}
	c := newCluster(t, options{home: func(i int) string {
		if d := disks[i]; d != nil {
			return filepath.Join(d.dir, "home")
		}
		return ""
	}})
	r := c.create("demo")
	r.awaitLeader(leader)
	ann := c.at(ownNode)
	ann.Git("", "init", "-q", "work")
	ann.Git("work", "remote", "add", "origin", r.url)
	first := ann.Commit("work", "a.txt", []byte("1\n"))
	ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
	r.converge()
	ann.Git("", "init", "-q", "--bare", "huge.git")
	ann.fastImport(t, "huge.git", func(w io.Writer) error { return newHistory(w).writeBlobs(pushedBlobs) })
	ann.Env = []string{"PEER_PUSH_TIMEOUT=5s"}

	c.run(t, "leader", func(t *testing.T) {
		disks[leader].fill(t)
		// Either it is refused, or a new leader with room takes it.
		pushed := ann.TryGit("huge.git", "push", "-q", r.url, "main:refs/heads/huge")
		t.Logf("the leader's disk is full: %v\n%d MiB are left", pushed, disks[leader].free()>>20)
		if pushed.Code == 0 {
			t.Log("acknowledged by the others")
		} else {
			for _, want := range []string{"the disk of replica " + c.nodes[leader].peerID + " is full", "nothing was changed", "make room on that machine"} {
				if !strings.Contains(pushed.Err, want) {
					t.Errorf("it does not say %q: %v", want, pushed)
				}
			}
		}
		disks[leader].empty(t)
		if err := c.nodes[leader].restart(); err != nil {
			t.Fatal(err)
		}
		wantBranch(t, r, "main", first)
		if pushed.Code != 0 && strings.Contains(pushed.Err, "nothing was changed") && strings.Contains(r.c.at(ownNode).Listed(r.url), "refs/heads/huge") {
			t.Error("it says that nothing was changed, and refs/heads/huge is there")
		}
		ann.Git("work", "commit", "-q", "--allow-empty", "-m", "after")
		ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
		ann.TryGit("work", "push", "-q", "origin", ":refs/heads/huge")
		r.converge()
		r.checkDisks()
	})
	c.run(t, "follower", func(t *testing.T) {
		r.awaitLeader(leader)
		disks[follower].fill(t)
		pushed := ann.TryGit("huge.git", "push", "-q", r.url, "main:refs/heads/huge2")
		t.Logf("a follower's disk is full: %v\n%d MiB are left", pushed, disks[follower].free()>>20)
		ann.Must(pushed) // the other two are a majority
		ann.Git("work", "commit", "-q", "--allow-empty", "-m", "meanwhile")
		ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
		disks[follower].empty(t)
		if err := c.nodes[follower].restart(); err != nil {
			t.Fatal(err)
		}
		refs := r.converge()
		for _, name := range []string{"main", "huge2"} {
			if !strings.Contains(refs, "refs/heads/"+name+" ") {
				t.Errorf("%s is gone:\n%s", name, refs)
			}
		}
		r.checkDisks()
	})
}

// wantBranch wants a branch to contain a commit, as every node lists it.
func wantBranch(t *testing.T, r *repository, name, commit string) {
	t.Helper()
	for i, n := range r.c.nodes {
		if refs := r.c.at(i).Listed(r.url); !strings.Contains(refs, "refs/heads/"+name+" "+commit) {
			t.Errorf("%s lists no %s at %s:\n%s", n.name, name, commit, refs)
		}
	}
}

// smallDisk is a file system of its own, in memory.
type smallDisk struct{ dir string }

func newSmallDisk(t *testing.T) *smallDisk {
	t.Helper()
	dir, err := os.MkdirTemp("", "peer-it-disk-")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("peer-itest", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskBytes)); err != nil {
		_ = os.Remove(dir)
		t.Skipf("mounting needs root, so no disk can be filled: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
			return
		}
		_ = os.Remove(dir)
	})
	return &smallDisk{dir}
}

func (d *smallDisk) free() int64 {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize
}

// fill takes all but roomBytes.
func (d *smallDisk) fill(t *testing.T) {
	t.Helper()
	ballast, err := os.Create(filepath.Join(d.dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer ballast.Close()
	if take := d.free() - roomBytes; take > 0 {
		if err := syscall.Fallocate(int(ballast.Fd()), 0, 0, take); err != nil {
			t.Fatal(err)
		}
	}
}

// empty gives it back, and more: what a push left must not matter any more.
func (d *smallDisk) empty(t *testing.T) {
	t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("peer-itest", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", 4*diskBytes)); err != nil {
		t.Fatal(err)
	}
}
