package node_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A node without room leaves the lead to others; where none has any, packs are
// refused before the disk is full.
func TestTooLittleRoom(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	full := func(i int, full bool) {
		m := c.Members[i]
		m.Stop()
		m.Configure = func(cfg *node.Config) {
			if full {
				cfg.FreeBytesMin = 1 << 60
			}
		}
		m.Start()
	}
	leads := func(i int) {
		t.Helper()
		c.Eventually(func() string {
			if got := c.Leader(g); got != c.Members[i] {
				return fmt.Sprintf("%s leads, not member %d", got.ID, i)
			}
			return ""
		})
	}
	small, large := sha1.File(20, 100, at), sha1.File(21, 1<<20, at)

	full(2, true) // the preferred one's
	leads(1)
	before := sha1.File(19, 100, at)
	mustPush(t, c, client, client.Sign(1, before.Pack(sha1), nil, nodetest.Move("refs/heads/before", git.OID{}, before.OID)))
	full(0, true)
	full(1, true)
	leads(2)
	for _, change := range []nodetest.Change{small, large} {
		before := c.Members[2].View(g).GetIndex()
		done, err := client.Once(deadline(t), c.Members[2].ID, client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID)))
		wantFull(t, c.Members[2], done, err)
		if now := c.Members[2].View(g).GetIndex(); now != before {
			t.Errorf("entry %d was applied", now)
		}
	}
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/tags/x", git.OID{}, at))) // brings nothing
	full(1, false)
	full(2, false)
	leads(2)

	// One follower's disk is full: the others suffice.
	mustPush(t, c, client, client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, at, large.OID)))
	c.Agree(g) // it has room for what was committed, whatever it would like to keep free
	full(0, false)
	for _, m := range c.Members {
		if staged := m.Staged(g); len(staged) > 0 {
			t.Errorf("left in the staging area: %v", staged)
		}
	}
	c.Converge(g)
}

// wantFull wants a refusal that names the member whose disk is full, says what is
// safe, and what to do.
func wantFull(t *testing.T, m *nodetest.Member, done *wire.PushDone, err error) {
	t.Helper()
	var refusal *node.FailureError
	if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_DISK {
		t.Fatalf("no refusal for want of room: %v, %v", done, err)
	}
	said := refusal.F.GetMessage() + "\n" + refusal.F.GetHint()
	for _, want := range []string{fmt.Sprintf("the disk of replica %s is full", m.ID), "nothing was changed", "make room"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
}

// tmpfs puts a member's repositories on a file system of this size.
func tmpfs(t *testing.T, m *nodetest.Member, size string) {
	t.Helper()
	if err := os.MkdirAll(m.Repos, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", m.Repos, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(m.Repos, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// fill leaves no room, and returns what makes some again.
func fill(t *testing.T, m *nodetest.Member) (free func()) {
	t.Helper()
	path := filepath.Join(m.Repos, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

// A disk that fills up in the middle of a push: a clear answer, nothing stays
// behind, and the next push goes through.
func TestDiskFillsUpAtTheLeader(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	tmpfs(t, c.Members[2], "6m")
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	huge := sha1.File(20, 8<<20, at)
	p := client.Sign(1, huge.Pack(sha1), nil, nodetest.Move(main, at, huge.OID))
	done, err := client.Once(deadline(t), leader.ID, p)
	wantFull(t, leader, done, err)
	for _, m := range c.Members {
		nodetest.Eventually(t, func() string {
			if staged := m.Staged(g); len(staged) > 0 {
				return "left in the staging area: " + staged[0]
			}
			left, err := filepath.Glob(filepath.Join(m.RepoDir(g), "objects", "tmp_*"))
			if err != nil || len(left) > 0 {
				return "left in the repository: " + left[0]
			}
			return ""
		})
	}
	chain(t, c, client, at, 1)
	c.Converge(g)
}

// A follower without room does not hold the others up, and catches up when there
// is some.
func TestDiskFillsUpAtAFollower(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	tmpfs(t, c.Members[0], "6m")
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	c.Agree(g)
	free := fill(t, c.Members[0])
	large := sha1.File(20, 1<<20, at)
	mustPush(t, c, client, client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, at, large.OID)))
	c.Agree(g, c.Members[1], leader)
	if got := c.Members[0].View(g); got.GetIndex() >= leader.View(g).GetIndex() {
		t.Errorf("applied %d without room for its objects", got.GetIndex())
	}
	free()
	c.Agree(g)
	if problem := c.Members[0].View(g).GetProblem(); problem != "" {
		t.Error(problem)
	}
	chain(t, c, client, large.OID, 2)
	c.Converge(g)
}

// Without room at a majority a push is refused, not left to wait for followers
// that will never hold its objects.
func TestDiskFillsUpAtAMajority(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	tmpfs(t, c.Members[0], "6m")
	tmpfs(t, c.Members[1], "6m")
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	c.Agree(g)
	before := leader.View(g).GetIndex()
	huge := sha1.File(20, 8<<20, at)
	p := client.Sign(1, huge.Pack(sha1), nil, nodetest.Move(main, at, huge.OID))
	done, err := client.Once(deadline(t), leader.ID, p)
	full := c.Members[0]
	if strings.Contains(fmt.Sprint(err), c.Members[1].ID.String()) {
		full = c.Members[1]
	}
	wantFull(t, full, done, err)
	if now := leader.View(g).GetIndex(); now != before {
		t.Errorf("entry %d was applied", now)
	}
	chain(t, c, client, at, 1)
	c.Converge(g)
}
