package node_test

import (
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// Five replicas: two machines are destroyed, the leader among them, and nothing
// that was acknowledged is lost; with a third one gone nothing commits.
func TestTwoOfFiveAreDestroyed(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 5, func(cfg *node.Config) { cfg.InlineBytesMax = 8 << 10 })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 12) // some of them large
	leader.Wipe()
	c.Members[1].Wipe()
	left := c.Others(leader, c.Members[1])
	c.Settle(g)
	at = chain(t, c, client, at, 3)
	c.Converge(g, left...)
	for _, m := range left {
		if listed, err := client.List(deadline(t), m.ID, nil); err != nil || listed.Refs[main] != at {
			t.Errorf("main is at %v, %v; want %s", listed, err, at)
		}
	}
	left[0].Kill()
	done, err := client.Once(deadline(t), left[1].ID, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM {
		t.Errorf("a push with two of five replicas: %v, %v", done, err)
	}
	left[0].Start()
	chain(t, c, client, at, 2)
	c.Converge(g, left...)
}
