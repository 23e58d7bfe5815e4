package itest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// TestRestartAll kills all nodes at the same moment while people push, several
// times. What was acknowledged by then is there when they are back.
func TestRestartAll(t *testing.T) {
	t.Parallel()
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	c := newCluster(t, options{env: []string{fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep)}})
	s := &storm{c: c, r: c.create("demo")}
	owner := c.at(0)
	s.writers = []*writer{s.newWriter("ann", owner, 1), s.newWriter("ben", c.guest("ben", owner.Home+"/key"), 2)}
	random := rand.New(rand.NewPCG(8, 8))
	for round := range rounds {
		s.over.Store(false)
		var work sync.WaitGroup
		for _, w := range s.writers {
			work.Go(w.run)
		}
		pause(random, time.Second)
		for _, n := range c.nodes { // at once: the first is not waited for
			if err := n.signal(syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range c.nodes {
			if err := n.awaitEnd(stopPatience); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range c.nodes {
			if err := n.start(); err != nil {
				t.Fatal(err)
			}
		}
		for _, n := range c.nodes {
			if err := n.awaitReady(); err != nil {
				t.Fatal(err)
			}
		}
		pause(random, time.Second)
		s.over.Store(true)
		work.Wait()
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
		s.judge()
	}
}

// TestMissedMoreThanTheLogKeeps has a follower down for more entries than the
// log keeps: it catches up by the table and its objects, while people go on.
func TestMissedMoreThanTheLogKeeps(t *testing.T) {
	t.Parallel()
	missed, pushers := 1_050, 4
	if testing.Short() {
		missed = 3 * logKeep
	}
	c := newCluster(t, options{env: []string{fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep)}})
	r := c.create("demo")
	ann, late := c.at(0), c.nodes[follower]
	ann.Git("", "init", "-q", "work")
	ann.Git("work", "remote", "add", "origin", r.url)
	ann.Commit("work", "a.txt", []byte("1\n"))
	ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/gone")
	r.converge()
	if err := late.kill(); err != nil {
		t.Fatal(err)
	}
	ann.Commit("work", "large.bin", content.Random(4, 5<<20))
	ann.Git("work", "tag", "-a", "-m", "one", "v1")
	ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main", "v1", ":refs/heads/gone")
	begin := time.Now()
	var work sync.WaitGroup
	for i := range pushers {
		work.Go(func() {
			for j := range missed / pushers {
				to := fmt.Sprintf("HEAD~%d:refs/heads/moving/%d", j%2, i)
				if pushed := ann.TryGit("work", "push", "-q", "--force", "origin", to); pushed.Code != 0 {
					t.Error(pushed)
					return
				}
			}
		})
	}
	work.Wait()
	if t.Failed() {
		return
	}
	t.Logf("%d pushes by %d people at once took %v", missed, pushers, time.Since(begin).Round(time.Millisecond))
	// It comes by a snapshot, or it would not get to this point.
	if err := late.start("PEER_FAIL_AT=snapshot-objects"); err != nil {
		t.Fatal(err)
	}
	if err := late.awaitEnd(30 * time.Second); err != nil {
		t.Fatalf("no snapshot came: %v", err)
	}
	begin = time.Now()
	if err := late.restart(); err != nil {
		t.Fatal(err)
	}
	ann.Commit("work", "a.txt", []byte("2\n"))
	ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/main")
	refs := r.converge()
	t.Logf("in sync %v after its start", time.Since(begin).Round(time.Millisecond))
	if strings.Contains(refs, "refs/heads/gone") || !strings.Contains(refs, "refs/heads/main "+ann.Git("work", "rev-parse", "HEAD")) {
		t.Fatalf("not where the pushes left it:\n%s", refs)
	}
	r.checkDisks()
	if got, want := r.c.at(follower).Listed(r.url), r.c.at(leader).Listed(r.url); got != want {
		t.Fatalf("the nodes list other refs: %s", people.FirstDifference(want, got))
	}
}
