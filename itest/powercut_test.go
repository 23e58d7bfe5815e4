package itest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
)

// TestPowerCut cuts the power of all nodes right after a push was acknowledged:
// only what was synced to their disks is left. One disk burns as well. What was
// acknowledged is there, whole, when the other two are back. So is what the owner's
// home, on one of these disks, remembers of the repository.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	seed, rounds := *seedFlag, 12
	if seed == 0 {
		seed = rand.Uint64()
	}
	if testing.Short() {
		rounds = 3
	}
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 6))
	var disks []*imageDisk
	for range 3 {
		disks = append(disks, newImageDisk(t, imageBytes))
	}
	c := newCluster(t, options{home: func(i int) string { return filepath.Join(disks[i].dir, "home") }})
	for _, d := range disks { // the homes were written by the test, without any care
		if err := d.sync(); err != nil {
			t.Fatal(err)
		}
	}
	r := c.create("demo")
	ann := c.at(ownNode)
	w := &powerPusher{t: t, r: r, p: c.guest("ann", ann.Home+"/key"), tips: map[string]string{}}
	w.p.Git("", "init", "-q", "work")
	for round := range rounds {
		ann.Git("", "ls-remote", r.url) // moves her pins, which the push that follows has on disk
		w.push(round, random.IntN(3))
		if err := cutPower(c, disks); err != nil {
			t.Fatal(err)
		}
		burnt := random.IntN(len(disks))
		for i, n := range c.nodes {
			if i != burnt {
				if err := n.start(); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i, n := range c.nodes {
			if i != burnt {
				if err := n.awaitReady(); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
		}
		w.check(fmt.Sprintf("round %d, without %s", round, c.nodes[burnt].name))
		ann.Git("", "ls-remote", r.url)
		// It only lay in a drawer: the next round has three again.
		if err := c.nodes[burnt].restart(); err != nil {
			t.Fatal(err)
		}
		r.converge()
		r.checkDisks()
	}
}

// powerPusher pushes, and knows what was acknowledged.
type powerPusher struct {
	t    *testing.T
	r    *repository
	p    *person
	tips map[string]string // of each branch
}

// push pushes something small, something that is staged, or both and a deletion.
func (w *powerPusher) push(round, kind int) {
	w.t.Helper()
	branch := fmt.Sprintf("refs/heads/b%d", round)
	size := smallBytes
	if kind > 0 {
		size = largeBytes
	}
	tip := w.p.Commit("work", "file", content.Random(uint64(round), size))
	args := []string{"push", "-q", "--atomic", w.r.url, tip + ":" + branch, tip + ":refs/heads/main"}
	if old := fmt.Sprintf("refs/heads/b%d", round-1); kind == 2 && w.tips[old] != "" {
		args = append(args, ":"+old)
		delete(w.tips, old)
	}
	w.p.Git("work", args...)
	w.tips[branch], w.tips["refs/heads/main"] = tip, tip
}

// check reads all back.
func (w *powerPusher) check(when string) {
	w.t.Helper()
	await.Eventually(w.t, convergeTimeout, func() error {
		listed := w.p.TryGit("", "ls-remote", w.r.url, "refs/heads/*")
		if listed.Code != 0 || listed.Stale() {
			return fmt.Errorf("%s: %v", when, listed)
		}
		refs := parseListing(listed.Out)
		for name, tip := range w.tips {
			if refs[name] != tip {
				w.t.Fatalf("%s: %s is at %q, and %s was acknowledged: %v", when, name, refs[name], tip, listed)
			}
		}
		if len(refs) != len(w.tips) {
			w.t.Fatalf("%s: %d branches, want %d: %v", when, len(refs), len(w.tips), listed)
		}
		return nil
	})
	w.p.Git("", "clone", "-q", "--mirror", w.r.url, "copy.git")
	w.p.Git("copy.git", "fsck", "--strict")
	if err := os.RemoveAll(w.p.Path("copy.git")); err != nil {
		w.t.Error(err)
	}
}

// cutPower leaves of each disk what was on it at this moment. The nodes are
// stopped first, so that nothing is synced after the acknowledgement that the
// caller got.
func cutPower(c *cluster, disks []*imageDisk) error {
	for _, n := range c.nodes {
		if err := n.signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	for _, d := range disks {
		if err := d.copyImage(); err != nil {
			return err
		}
	}
	for _, n := range c.nodes {
		if err := n.kill(); err != nil {
			return err
		}
	}
	for _, d := range disks {
		if err := errors.Join(d.unmount(), os.Rename(d.image+".cut", d.image), d.mount()); err != nil {
			return err
		}
	}
	return nil
}

// imageDisk is a file system in a file. What was written to it and not synced is
// in the kernel's cache, and not in that file.
type imageDisk struct {
	dir, image string
	bytes      int64
}

// imageBytes is more than the room that a node wants left.
const imageBytes = 640 << 20

func newImageDisk(t *testing.T, bytes int64) *imageDisk {
	t.Helper()
	base, err := os.MkdirTemp("", "peer-it-image-")
	if err != nil {
		t.Fatal(err)
	}
	d := &imageDisk{dir: filepath.Join(base, "disk"), image: filepath.Join(base, "image"), bytes: bytes}
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	err = errors.Join(os.Mkdir(d.dir, 0o700), os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, bytes))
	if err != nil {
		t.Fatal(err)
	}
	if err := tool("mkfs.ext4", "-q", "-F", d.image); err != nil {
		t.Skipf("no disk can be made: %v", err)
	}
	if err := d.mount(); err != nil {
		t.Skipf("mounting needs root and a loop device, so no power can be cut: %v", err)
	}
	t.Cleanup(func() {
		if err := d.unmount(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// mount asks for a file system that syncs as little as it may: its journal every
// five minutes, and nothing because of a rename.
func (d *imageDisk) mount() error {
	return tool("mount", "-o", "loop,commit=300,noauto_da_alloc", d.image, d.dir)
}

// unmount does not wait for a git that still has files open: what it writes goes
// to the file that the disk was, which nobody looks at any more.
func (d *imageDisk) unmount() error { return tool("umount", "--lazy", d.dir) }

// sync has all on the disk that was written so far.
func (d *imageDisk) sync() error { return tool("sync", "-f", d.dir) }

// copyPatience is how long the clients of stopped nodes may go on to write to their homes.
const copyPatience = time.Minute

// copyImage copies what is on the disk at one moment: again where something was written
// to it meanwhile.
func (d *imageDisk) copyImage() error {
	const quiet = 20 * time.Millisecond // more than the clock of files is coarse
	return await.Poll(copyPatience, func() error {
		before, err := os.Stat(d.image)
		if err != nil {
			return err
		}
		if time.Since(before.ModTime()) < quiet {
			return fmt.Errorf("%s is being written to", d.image)
		}
		if err := d.copyOnce(); err != nil {
			return err
		}
		after, err := os.Stat(d.image)
		if err == nil && after.ModTime() != before.ModTime() {
			err = fmt.Errorf("%s was written to while it was copied", d.image)
		}
		return err
	})
}

// copyOnce copies the file as it is, without its holes.
func (d *imageDisk) copyOnce() error {
	from, err := os.Open(d.image)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.Create(d.image + ".cut")
	if err != nil {
		return err
	}
	const seekData, seekHole = 3, 4
	for at := int64(0); err == nil; {
		var end int64
		if at, err = from.Seek(at, seekData); errors.Is(err, syscall.ENXIO) {
			err = nil
			break // no more data
		} else if err != nil {
			break
		}
		if end, err = from.Seek(at, seekHole); err == nil {
			_, err = io.Copy(io.NewOffsetWriter(to, at), io.NewSectionReader(from, at, end-at))
			at = end
		}
	}
	return errors.Join(err, to.Truncate(d.bytes), to.Close())
}

func tool(name string, args ...string) error {
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, said)
	}
	return nil
}
