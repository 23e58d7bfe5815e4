package node_test

import (
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// far makes every way between the members take that long.
func far(c *nodetest.Cluster, oneWay time.Duration) {
	for i, a := range c.Members {
		for _, b := range c.Members[:i] {
			c.Net.Slow(a.ID, b.ID, oneWay)
		}
	}
}

// Members that are 300 ms apart, with a clock whose election timeout is shorter
// than that, elect once and keep their leader while people push.
func TestAcrossTheWorld(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	far(c, 150*time.Millisecond)
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	term := leader.View(g).GetTerm()
	if term > 10 { // some may be lost before the way is known
		t.Errorf("it took %d terms to elect the first leader", term)
	}
	at := git.OID{}
	for began := time.Now(); time.Since(began) < 6*time.Second; {
		at = chain(t, c, client, at, 1)
	}
	c.Converge(g)
	awaitSleep(c, g)
	chain(t, c, client, at, 1)
	if now := leader.View(g); now.GetTerm() != term {
		t.Errorf("term %d after pushes over slow links, and before %d", now.GetTerm(), term)
	}
}

// The member that should lead by its ID is far away from the other two: it does
// not get leadership, which would make every push wait for it.
func TestNotToTheOtherSideOfTheWorld(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	best := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	best.Stop()
	for _, m := range c.Others(best) {
		c.Net.Slow(best.ID, m.ID, 100*time.Millisecond)
	}
	best.Start()
	c.Converge(g)
	awaitSleep(c, g) // whoever sleeps is not about to hand over
	if c.Leader(g) == best {
		t.Error("the far member leads")
	}
	chain(t, c, client, at, 1)
}
