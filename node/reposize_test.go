package node_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// wantTooBig wants a refusal that names repository, size, limit and node, and says
// what to do.
func wantTooBig(t *testing.T, m *nodetest.Member, limit string, done *wire.PushDone, err error) {
	t.Helper()
	var refusal *node.FailureError
	if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_DISK {
		t.Fatalf("no refusal for the repository's size: %v, %v", done, err)
	}
	said := refusal.F.GetMessage() + "\n" + refusal.F.GetHint()
	for _, want := range []string{
		"demo takes ", "on replica " + m.ID.String(), "one repository " + limit + " at most",
		"nothing was changed", "delete branches", "14 days", "peer repo replicas demo", "--max-repo-size",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
}

// A repository that would take more than its node gives one takes no more packs, of
// whatever size, and all that brings none. Others on that node go on.
func TestRepoSize(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 1, func(cfg *node.Config) { cfg.RepoBytesMax = 1 << 20 })
	m := c.Members[0]
	m.Start()
	g := c.Found(node.InitOptions{Replicas: 1})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	half := sha1.File(30, 600<<10, at)
	mustPush(t, c, client, client.Sign(1, half.Pack(sha1), nil, nodetest.Move(main, at, half.OID)))
	before := m.View(g).GetIndex()
	refused := func(size int) {
		t.Helper()
		next := sha1.File(31, size, half.OID)
		done, err := client.Once(deadline(t), m.ID, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, half.OID, next.OID)))
		wantTooBig(t, m, "1.0 MiB", done, err)
	}
	refused(600 << 10)

	// It is refused while it arrives, not when all is here.
	s, err := client.Begin(deadline(t), m.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	huge := sha1.File(32, 20<<20, half.OID)
	pack := huge.Pack(sha1)
	if _, err := s.Request(client.Sign(1, pack, nil, nodetest.Move(main, half.OID, huge.OID))); err != nil {
		t.Fatal(err)
	}
	for part := range 10 {
		if err := wire.WriteChunk(s, pack[part<<20:(part+1)<<20]); err != nil {
			break // the answer says why
		}
	}
	done, err := s.Done()
	wantTooBig(t, m, "1.0 MiB", done, err)

	if now := m.View(g).GetIndex(); now != before {
		t.Errorf("entry %d was applied", now)
	}
	small := sha1.File(33, 100<<10, half.OID) // rides in the entry
	mustPush(t, c, client, client.Sign(1, small.Pack(sha1), nil, nodetest.Move(main, half.OID, small.OID)))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/tags/x", git.OID{}, at)))
	c.Eventually(func() string {
		left, _ := filepath.Glob(filepath.Join(m.RepoDir(g), "objects", "tmp_*"))
		if left = append(left, m.Staged(g)...); len(left) > 0 {
			return fmt.Sprint("left: ", left)
		}
		return ""
	})

	m.Stop()
	m.Configure = func(cfg *node.Config) { cfg.RepoBytesMax = 700 << 10 } // it takes more already
	m.Start()
	c.Settle(g)
	next := sha1.File(34, 100, small.OID)
	done, err = client.Once(deadline(t), m.ID, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, small.OID, next.OID)))
	wantTooBig(t, m, "0.7 MiB", done, err)
	if f := m.View(g).GetRefuses(); !strings.Contains(f.GetMessage(), "at most") {
		t.Errorf("who asks why is told %v", f)
	}
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/tags/x", at, git.OID{})))
	other, err := m.Node.Init(deadline(t), node.InitOptions{Name: "other", Replicas: 1})
	if err != nil {
		t.Fatal(err)
	}
	c.Settle(other.Genesis)
	chain(t, c, c.Client(other.Genesis), git.OID{}, 1)
}

// A follower that gives less doesn't hold the others up, and has what they commit.
// Where a majority gives less, nothing is committed.
func TestRepoSizeOfFollowers(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	leader := c.Members[2]
	gives := func(i int, bytes int64) {
		m := c.Members[i]
		m.Stop()
		m.Configure = func(cfg *node.Config) { cfg.RepoBytesMax = bytes }
		m.Start()
		c.Settle(g)
	}
	refused := func(big nodetest.Change) {
		t.Helper()
		before := leader.View(g).GetIndex()
		done, err := client.Once(deadline(t), leader.ID, client.Sign(1, big.Pack(sha1), nil, nodetest.Move(main, at, big.OID)))
		says := c.Members[0]
		if strings.Contains(fmt.Sprint(err), c.Members[1].ID.String()) {
			says = c.Members[1]
		}
		wantTooBig(t, says, "0.1 MiB", done, err)
		if now := leader.View(g).GetIndex(); now != before {
			t.Errorf("entry %d was applied", now)
		}
	}
	gives(0, 100<<10)
	gives(1, 100<<10)
	big := sha1.File(20, 1<<20, at)
	refused(big)
	gives(1, 0)
	mustPush(t, c, client, client.Sign(1, big.Pack(sha1), nil, nodetest.Move(main, at, big.OID)))
	c.Converge(g)

	gives(1, 100<<10)
	at = big.OID
	refused(sha1.File(21, 1<<20, at))
	chain(t, c, client, at, 1) // it rides in the entry: what its leader gives counts
	c.Converge(g)
}
