package container

import (
	"fmt"
	"testing"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// payloadBytes take the leader about half a second to index.
const payloadBytes = 24 << 20

// The leader is lost in the middle of a push, in three ways. The push is
// acknowledged all the same, by another leader; nothing acknowledged is lost, and
// the old leader comes back into line.
//
//	owner ── node1 ─── node2
//	            └─ node3 ─┘   leads, and has part of the pack
//	                 ✗
func TestLeaderLostInMidPush(t *testing.T) {
	t.Parallel()
	for _, loss := range []struct {
		name      string
		lose, end func(c *cluster, n *node) error
	}{
		{"killed", func(_ *cluster, n *node) error { return n.kill() }, func(_ *cluster, n *node) error { return n.start() }},
		{"paused", func(_ *cluster, n *node) error { return n.pause() }, func(_ *cluster, n *node) error { return n.unpause() }},
		{"cut off", func(c *cluster, n *node) error { return c.cutOff(n.machine) }, func(c *cluster, _ *node) error { return c.heal() }},
	} {
		t.Run(loss.name, func(t *testing.T) {
			t.Parallel()
			c := newCluster(t, options{})
			r := c.create("demo", nil)
			ann := r.begin()
			ann.push("main")
			leader := c.nodes[len(c.nodes)-1]
			r.awaitLeader(leader)

			pushed := ann.inMidPush(leader, func() error { return loss.lose(c, leader) })
			ann.p.Must(pushed)
			if now, err := r.leaderAt(c.nodes[0]); err != nil || now == leader {
				t.Errorf("%s should not lead any more: %v", leader.name, err)
			}
			ann.push("main")
			for _, n := range c.nodes[:len(c.nodes)-1] {
				if err := ann.wantAt(n.name, n.user, 0); err != nil {
					t.Error(err)
				}
			}
			if err := loss.end(c, leader); err != nil {
				t.Fatal(err)
			}
			r.converge()
			ann.wantEverywhere()
		})
	}
}

// inMidPush pushes a large commit and strikes while node n is busy with it. It
// fails the test where the push was over before the blow had fallen.
func (a *author) inMidPush(n *node, strike func() error) people.Result {
	t := a.r.c.t
	t.Helper()
	bare, err := a.r.bare(n)
	if err != nil {
		t.Fatal(err)
	}
	for try := range 4 {
		branch := fmt.Sprintf("large-%d", try)
		tip := a.commit(branch+".bin", content.Random(uint64(try), payloadBytes<<try))
		arriving := make(chan people.Result, 1)
		go func() {
			arriving <- n.user.Run(bare, "timeout", "30", "sh", "-c", `until ls objects/tmp_objdir-incoming-*/pack/* >/dev/null 2>&1; do sleep 0.01; done`)
		}()
		pushed := make(chan people.Result, 1)
		go func() { pushed <- a.tryPush(branch, tip) }()
		if r := <-arriving; r.Code != 0 {
			t.Fatalf("%s did not begin to receive the push: %v", n.name, r)
		}
		if len(pushed) > 0 {
			t.Logf("the push of %d MB was over at once: %v", payloadBytes<<try>>20, <-pushed)
			continue
		}
		if err := strike(); err != nil {
			t.Fatal(err)
		}
		if len(pushed) > 0 {
			t.Fatalf("the push was over before %s was lost: %v", n.name, <-pushed)
		}
		return <-pushed
	}
	t.Fatalf("no push took long enough to strike in the middle of it")
	return people.Result{}
}
