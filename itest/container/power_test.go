package container

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
)

// All five nodes are killed and start again. What was acknowledged is there, and
// so are all replicas, without anybody's help.
//
//	owner ── node1 ─┬─ node2
//	         node3 ─┼─ node4
//	                └─ node5
//	    ✗  all  ✗, then all again
func TestAllRestarted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 5})
	r := c.create("demo", nil, "--replicas", "5")
	ann := r.begin()
	ann.push("main")
	ann.pushCommit("large", ann.commit("large.bin", content.Random(5, 3<<20)))
	if err := each(c.nodes, func(i int) error { return c.nodes[i].kill() }); err != nil {
		t.Fatal(err)
	}
	if err := each(c.nodes, func(i int) error { return c.nodes[i].start() }); err != nil {
		t.Fatal(err)
	}
	ann.push("main")
	ann.wantEverywhere()
	r.converge()
}

// The power of all nodes fails at once, twice, while clients race for a few refs.
// Each ref looks like one register in one place, before, meanwhile and after, and
// that is what porcupine judges. The kernel goes on in this test: what
// an unsynced write may lose is TestPowerCut's to find.
//
//	client ── node1 ─── node2 ── client
//	             └─ node3 ─┘ ── client       ✗ all at once ✗
func TestPowerLossUnderLoad(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	s := newRace(r)
	for i, n := range c.nodes {
		s.join(i, c.ownerAt(n.machine), n.user)
	}
	s.during(t, func() {
		for range 2 {
			s.awaitMore(t, 5)
			if err := c.powerLoss(c.nodes...); err != nil {
				t.Fatal(err)
			}
			if err := each(c.nodes, func(i int) error { return c.nodes[i].start() }); err != nil {
				t.Fatal(err)
			}
		}
		s.awaitMore(t, 5)
	})
	r.converge()
	s.judge()
}

// Two clients that share nothing want the same ref all the time. One wins each
// time, and both see in what order.
//
//	client ── node1 ─── node2 ── client
//	             └─ node3 ─┘
func TestTwoClientsRace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	s := newRace(r)
	s.refs = 1
	for i, n := range c.nodes[:2] {
		s.join(i, c.ownerAt(n.machine), n.user)
	}
	s.during(t, func() { s.awaitMore(t, 25) })
	r.converge()
	s.judge()
}

// during has all clients race while something is done.
func (c *race) during(t *testing.T, do func()) {
	ctx, stop := context.WithCancel(t.Context())
	var racing sync.WaitGroup
	for _, a := range c.racers {
		racing.Go(func() { a.run(ctx) })
	}
	defer racing.Wait()
	defer stop()
	do()
}

// awaitMore waits until so many more pushes were acknowledged.
func (c *race) awaitMore(t *testing.T, more int) {
	t.Helper()
	goal := c.acknowledgements() + more
	await.Eventually(t, raceCheck, func() error {
		if now := c.acknowledgements(); now < goal {
			return fmt.Errorf("%d pushes were acknowledged, and should be %d", now, goal)
		}
		return nil
	})
}
