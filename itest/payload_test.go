package itest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

const payloadBytes = 5 << 20

// TestLeaderDiskDestroyed acknowledges a large push and destroys the leader's disk
// in the same moment: the others have all of it. The node with the empty disk may
// come back, and neither votes nor acknowledges under its old seat.
func TestLeaderDiskDestroyed(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo")
	p := newPayloadTest(c, r)
	p.push()
	p.destroyLeader()
	p.wantAll(ownNode, follower)
	p.push()
	p.wantAll(ownNode, follower)

	if err := c.nodes[leader].start(); err != nil {
		t.Fatal(err)
	}
	if err := c.nodes[leader].awaitReady(); err != nil {
		t.Fatal(err)
	}
	c.awaitMeeting()
	p.push()
	p.wantNoPart()
	// With it alone there is no majority.
	if err := c.nodes[follower].kill(); err != nil {
		t.Fatal(err)
	}
	p.ann.Env = []string{"PEER_PUSH_TIMEOUT=0"}
	refused := p.ann.Refuses("work", []string{"no leader", "nothing was changed"}, "push", "-q", "origin", "HEAD:refs/heads/alone")
	t.Logf("without a majority: %v", refused)
	p.ann.Env = nil
	if err := c.nodes[follower].restart(); err != nil {
		t.Fatal(err)
	}
	p.push()
	p.wantAll(ownNode, follower)
}

// TestPayloadCutThenLeaderDiskDestroyed cuts the streams that bring payloads to
// the followers, and nothing else: entries and heartbeats pass. Nothing is
// acknowledged as long as the leader's disk alone has the objects.
func TestPayloadCutThenLeaderDiskDestroyed(t *testing.T) {
	t.Parallel()
	t.Run("fetched later", func(t *testing.T) { testPayloadCut(t, false) })
	t.Run("never fetched", func(t *testing.T) { testPayloadCut(t, true) })
}

// testPayloadCut has a push wait for followers that can't keep its payload. Then
// either they can, the push is acknowledged, and the leader's disk is destroyed;
// or it is destroyed before.
func testPayloadCut(t *testing.T, destroyBefore bool) {
	c := newCluster(t, options{})
	p := newPayloadTest(c, c.create("demo"))
	p.push()
	p.r.converge()
	unblock := []func(){blockStaging(t, p.r.bare(ownNode)), blockStaging(t, p.r.bare(follower))}
	tip := p.commit()
	pushed := make(chan people.Result, 1)
	go func() { pushed <- p.ann.TryGit("work", "push", "-q", "origin", tip+":refs/heads/main") }()
	for _, i := range []int{ownNode, follower} {
		await.Eventually(t, convergeTimeout, func() error {
			if !strings.Contains(tail(c.nodes[i].log, 100), "cannot get what the log needs") {
				return fmt.Errorf("%s does not miss a payload", c.nodes[i].name)
			}
			return nil
		})
	}
	select {
	case r := <-pushed:
		t.Fatalf("ended, with the objects on one disk: %v", r)
	case <-time.After(2 * time.Second): // long enough for a wrong acknowledgement
	}
	if destroyBefore {
		p.destroyLeader()
	}
	for _, f := range unblock {
		f()
	}
	r := <-pushed
	if !destroyBefore {
		p.destroyLeader()
	}
	p.ann.Must(r)
	p.tip = tip
	p.wantAll(ownNode, follower)
	p.push()
	p.wantAll(ownNode, follower)
}

// blockStaging makes the directory of arriving payloads unusable; its result ends that.
func blockStaging(t *testing.T, repo string) func() {
	t.Helper()
	dir := filepath.Join(repo, "peer", "staging")
	if err := errors.Join(os.Rename(dir, dir+".away"), os.WriteFile(dir, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(dir), os.Rename(dir+".away", dir)); err != nil {
			t.Fatal(err)
		}
	}
}

type payloadTest struct {
	c     *cluster
	r     *repository
	ann   *person
	count int
	tip   string // of the last acknowledged push
}

func newPayloadTest(c *cluster, r *repository) *payloadTest {
	p := &payloadTest{c: c, r: r, ann: c.at(ownNode)}
	p.ann.Git("", "init", "-q", "work")
	p.ann.Git("work", "remote", "add", "origin", r.url)
	r.awaitLeader(leader)
	return p
}

// commit makes a commit that is staged when it is pushed, never inline.
func (p *payloadTest) commit() string {
	p.c.t.Helper()
	p.count++
	return p.ann.Commit("work", fmt.Sprintf("%d.bin", p.count), content.Random(uint64(p.count), payloadBytes))
}

// push makes a commit and pushes it.
func (p *payloadTest) push() {
	p.c.t.Helper()
	tip := p.commit()
	p.ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
	p.tip = tip
}

// destroyLeader kills the leader and removes all that it stored, at once.
func (p *payloadTest) destroyLeader() {
	p.c.t.Helper()
	n := p.c.nodes[leader]
	if err := n.kill(); err != nil {
		p.c.t.Fatal(err)
	}
	for _, name := range []string{"badger", "repos"} {
		if err := os.RemoveAll(filepath.Join(n.home, name)); err != nil {
			p.c.t.Fatal(err)
		}
	}
}

// wantAll clones from nodes that are left, and looks for all that was acknowledged.
func (p *payloadTest) wantAll(nodes ...int) {
	p.c.t.Helper()
	for _, i := range nodes {
		at := p.c.at(i)
		into := at.Path("copy.git")
		at.Git("", "clone", "-q", "--mirror", p.r.url, into)
		if got := at.Git(into, "rev-parse", "refs/heads/main"); got != p.tip {
			p.c.t.Fatalf("%s has main at %s, and %s was acknowledged", p.c.nodes[i].name, got, p.tip)
		}
		at.Git(into, "fsck", "--connectivity-only")
		_ = os.RemoveAll(into)
		await.Eventually(p.c.t, convergeTimeout, func() error {
			if refs := p.ann.Refs(p.r.bare(i)); !strings.Contains(refs, p.tip) {
				return fmt.Errorf("on the disk of %s is %s", p.c.nodes[i].name, refs)
			}
			return nil
		})
		at.Git(p.r.bare(i), "fsck", "--connectivity-only")
	}
}

// wantNoPart proves that the node with the empty disk takes no part.
func (p *payloadTest) wantNoPart() {
	p.c.t.Helper()
	wiped := p.c.nodes[leader]
	const watch = 3 * time.Second // longer than an election, and than a hand-over
	for until := time.Now().Add(watch); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		s, err := p.r.show(ownNode)
		if err != nil {
			p.c.t.Fatal(err)
		}
		if s.Leader == wiped.peerID {
			p.c.t.Fatal("the node with the empty disk leads")
		}
		for _, replica := range s.Replicas {
			if replica.Peer == wiped.peerID && replica.InSync {
				p.c.t.Fatalf("the node with the empty disk counts as in sync: %+v", s)
			}
		}
	}
}
