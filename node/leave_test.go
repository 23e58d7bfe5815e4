package node_test

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A member that was away while the group went on without it keeps its copy until
// most of those who vote now have told it so: one of them alone may lie, or have
// heard of a change that never was.
func TestCopyStaysWithoutAMajority(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 4, repairing)
	g := c.Found(node.InitOptions{On: c.IDs()[:3]})
	client := c.Client(g)
	at := chain(t, c, client, git.OID{}, 3)
	first, out, second, third := c.Members[0], c.Members[1], c.Members[2], c.Members[3]
	c.Converge(g, first, out, second)
	out.Kill()
	configure(t, first, g, func(s *wire.Settings) { s.Off = [][]byte{[]byte(out.ID)} })
	c.Eventually(votersAre(t, g, first, first, second, third))
	chain(t, c, client, at, 3)
	c.Converge(g, first, second, third)
	second.Kill()
	third.Kill()

	var asked atomic.Int64
	fault := c.Net.Fault(func(o nodetest.Opening) int {
		if o.From == out.ID && o.To == first.ID && o.Request.GetWhere() != nil {
			asked.Add(1)
		}
		return nodetest.Pass
	})
	out.Start()
	aside := out.RepoDir(g) + ".removed"
	dropped := func() bool { _, err := os.Stat(aside); return err == nil }
	c.Eventually(func() string {
		if n := asked.Load(); n < 20 && !dropped() {
			return fmt.Sprintf("it asked the one that answers %d times", n)
		}
		return ""
	})
	fault.Mend()
	if dropped() {
		t.Fatal("one of three told it that it is out, and its copy is gone")
	}
	if _, err := os.Stat(out.RepoDir(g)); err != nil {
		t.Fatal(err)
	}
	second.Start()
	c.Eventually(func() string {
		if !dropped() {
			return "two of three told it that it is out, and its copy stays"
		}
		return ""
	})
}
