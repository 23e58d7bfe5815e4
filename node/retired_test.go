package node_test

import (
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// A push was prepared while a branch existed, so its pack rightly omits that
// branch's objects. Then the branch is deleted, and a replica catches up by a
// snapshot whose refs no longer reach them. That replica must have them before it
// takes the snapshot: it acknowledges the push's entry without looking further.
func TestPushOverADeletedBranchReachesASnapshot(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	away := c.Others(c.Settle(g))[0]
	first := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID)))
	c.Converge(g)
	away.Kill()
	behind := lastIndex(t, away, g)

	const topic = "refs/heads/topic"
	branch := sha1.File(2, 100, first.OID)
	mustPush(t, c, client, client.Sign(1, branch.Pack(sha1), nil, nodetest.Move(topic, git.OID{}, branch.OID)))
	merge := sha1.File(3, 100, first.OID, branch.OID)
	late := client.Sign(1, merge.Pack(sha1), nil, nodetest.Move(main, first.OID, merge.OID))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(topic, branch.OID, git.OID{})))
	for range 20 {
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/heads/x", git.OID{}, first.OID)))
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/heads/x", first.OID, git.OID{})))
	}
	away.Start()
	c.Converge(g)
	if !installed(t, away, g, behind) {
		t.Fatal("no snapshot was installed")
	}

	if !away.Has(g, branch.OID) {
		t.Fatal("a snapshot was installed without the objects of a retired tip")
	}
	mustPush(t, c, client, late)
	c.Converge(g)
	for i, m := range c.Members {
		if err := m.Fsck(g); err != nil {
			t.Errorf("node %d: %v", i, err)
		}
	}
}
