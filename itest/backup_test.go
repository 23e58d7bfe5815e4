package itest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// TestRestoredBackup puts an old copy of a follower's home back. That disk has
// forgotten what it acknowledged: the group goes on without trusting it, and
// nothing is lost or forked.
func TestRestoredBackup(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo")
	ann, old := c.at(0), c.nodes[follower]
	ann.Git("", "init", "-q", "work")
	count := 0
	push := func(size int) string {
		t.Helper()
		count++
		tip := ann.Commit("work", fmt.Sprintf("%d.bin", count), content.Random(uint64(count), size))
		ann.Git("work", "push", "-q", r.url, "HEAD:refs/heads/main")
		return tip
	}
	push(smallBytes)
	r.converge()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ok(old.stop())
	ok(os.CopyFS(old.home+".backup", os.DirFS(old.home)))
	ok(old.restart())
	for range 5 {
		push(smallBytes)
	}
	push(largeBytes)
	tip := push(smallBytes)
	r.converge()

	ok(old.kill())
	ok(os.RemoveAll(old.home))
	ok(os.Rename(old.home+".backup", old.home))
	ok(old.restart())
	after := push(smallBytes) // the others go on

	var state people.Repo
	await.Eventually(t, convergeTimeout, func() (err error) {
		if state, err = r.show(follower); err != nil {
			return err
		}
		if state.Problem == "" && r.inSync() != nil {
			return fmt.Errorf("neither in sync nor with a problem: %+v", state)
		}
		return nil
	})
	t.Logf("the restored replica: problem %q", state.Problem)
	if state.Problem == "" {
		r.converge()
		return
	}
	// It left the group. With the leader gone there is no majority without it, and
	// no push may be acknowledged: it could forget this one, too.
	for _, want := range []string{"backup"} {
		if !strings.Contains(state.Problem, want) {
			t.Errorf("the problem does not say %q: %s", want, state.Problem)
		}
	}
	ok(c.nodes[leader].kill())
	ann.Env = []string{"PEER_PUSH_TIMEOUT=0"}
	ann.Commit("work", "alone.txt", []byte("x\n"))
	if pushed := ann.TryGit("work", "push", r.url, "HEAD:refs/heads/main"); pushed.Code == 0 {
		t.Fatalf("acknowledged with one replica that counts: %v", pushed)
	}
	ann.Env = nil
	ok(c.nodes[leader].restart())
	push(smallBytes)
	for _, i := range []int{ownNode, leader} {
		bare := r.bare(i)
		for _, acked := range []string{tip, after} {
			if r := c.at(i).TryGit(bare, "merge-base", "--is-ancestor", acked, "refs/heads/main"); r.Code != 0 {
				t.Errorf("%s lost %s, which was acknowledged", c.nodes[i].name, acked)
			}
		}
		c.at(i).Git(bare, "fsck", "--connectivity-only")
	}
}
