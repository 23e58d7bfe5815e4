package node_test

import (
	"strings"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// left waits until a member has left its group because its table is damaged.
// Soon it has another seat, and begins anew, so its log says so for longer.
func left(c *nodetest.Cluster) {
	c.Eventually(func() string {
		if !c.Logged("the table here is not that of 2 of the 3 replicas") {
			return "the damaged one stays"
		}
		return ""
	})
}

// A table is damaged on one disk so that it still looks whole. The replica
// leaves at the next entry, whether it follows or leads, and the others go on.
func TestDamagedTableLeaves(t *testing.T) {
	t.Parallel()
	for name, which := range map[string]int{"follower": 0, "leader": 2} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := nodetest.Start(t, 3, nil)
			g := c.Found(node.InitOptions{})
			client := c.Client(g)
			c.Settle(g)
			at := chain(t, c, client, git.OID{}, 2)
			other := sha1.File(99, 10)
			mustPush(t, c, client, client.Sign(1, other.Pack(sha1), nil, nodetest.Move("refs/heads/other", git.OID{}, other.OID)))
			c.Converge(g)
			damaged := c.Members[which]
			damaged.Stop()
			damaged.Rot(g, "refs/heads/other", at, true)
			damaged.Start()
			c.Settle(g)
			whole := c.Others(damaged)
			at = chain(t, c, client, at, 1)
			left(c)
			// It stays out when it starts again, until it has another seat and with it the
			// table of the others.
			damaged.Stop()
			damaged.Start()
			at = chain(t, c, client, at, 2)
			c.Converge(g, whole...)
			c.Converge(g)
			table, err := damaged.Table(g)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range table.Refs() {
				if want := map[string]git.OID{main: at, "refs/heads/other": other.OID}[r.GetName()]; string(want.Bytes()) != string(r.GetOid()) {
					t.Errorf("%s is %x, want %s", r.GetName(), r.GetOid(), want)
				}
			}
		})
	}
}

// Of two that answer nobody can say which one is damaged: pushes are refused
// until the third one is there.
func TestDamagedTableUndecided(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	other := chain(t, c, client, git.OID{}, 1)
	at := chain(t, c, client, other, 1)
	c.Converge(g)
	damaged, away := c.Members[0], c.Members[1]
	damaged.Stop()
	away.Stop()
	damaged.Rot(g, main, other, true)
	damaged.Start()
	c.Settle(g)
	leader := c.Members[2]
	c.Eventually(func() string {
		_, err := client.Once(deadline(t), leader.ID, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x")))
		if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NO_QUORUM || !strings.Contains(err.Error(), "nobody can say which one is damaged") {
			return "a push in doubt: " + errText(err)
		}
		return ""
	})
	away.Start()
	left(c)
	chain(t, c, client, at, 1)
	c.Converge(g, leader, away)
}

func errText(err error) string {
	if err == nil {
		return "no error"
	}
	return err.Error()
}

// A leader whose table is damaged has to send it to a member that was away. That
// one asks the others, and does not install what they contradict.
func TestDamagedTableIsNoSnapshot(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 2)
	other := sha1.File(99, 10)
	mustPush(t, c, client, client.Sign(1, other.Pack(sha1), nil, nodetest.Move("refs/heads/other", git.OID{}, other.OID)))
	c.Converge(g)
	away, witness, damaged := c.Members[0], c.Members[1], c.Members[2]
	away.Stop()
	behind := lastIndex(t, away, g)
	chain(t, c, client, at, 40)
	c.Converge(g, witness, damaged)
	damaged.Stop()
	damaged.Rot(g, "refs/heads/other", at, true)
	damaged.Start()
	c.Settle(g)
	away.Start()
	c.Eventually(func() string {
		if !c.Logged("has another table at") {
			return "the table is not refused"
		}
		return ""
	})
	if installed(t, away, g, behind) {
		t.Error("a table was installed that another member contradicts")
	}
	if p := witness.View(g).GetProblem(); p != "" {
		t.Errorf("who has the right table leaves: %s", p)
	}
}

// A table that names what is not there is the damaged one, also where too few
// answer to say so: then the other one is installed by who was away.
func TestDamagedTableNamesNothing(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 2)
	c.Converge(g)
	away, witness, damaged := c.Members[0], c.Members[1], c.Members[2]
	away.Stop()
	behind := lastIndex(t, away, g)
	at = chain(t, c, client, at, 40)
	c.Converge(g, witness, damaged)
	damaged.Stop()
	damaged.Rot(g, main, git.OID{}, true)
	damaged.Start()
	c.Eventually(func() string {
		if !c.Logged("names objects that are not here") {
			return "the damaged one stays"
		}
		return ""
	})
	away.Start()
	chain(t, c, client, at, 1)
	c.Converge(g, witness, away)
	if !installed(t, away, g, behind) {
		t.Error("no table was installed, so this tests nothing")
	}
}
