package node_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
)

// awaitSleep waits until nobody ticks.
func awaitSleep(c *nodetest.Cluster, g *replica.Genesis) {
	c.Eventually(func() string {
		for i, m := range c.Members {
			if m.Running() && !m.Node.Asleep(g.Repo) {
				return fmt.Sprintf("member %d is awake", i)
			}
		}
		return ""
	})
}

// asleep founds a group of three, pushes once, and waits until it sleeps.
func asleep(t *testing.T) (*nodetest.Cluster, *replica.Genesis, *nodetest.Client, git.OID) {
	t.Helper()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	awaitSleep(c, g)
	return c, g, client, at
}

// A group that nobody uses sleeps, takes the next push at once, through any
// member, and sleeps again.
func TestIdleGroupsSleep(t *testing.T) {
	t.Parallel()
	c, g, client, at := asleep(t)
	term := c.Members[0].View(g).GetTerm()
	for i, m := range c.Members {
		next := sha1.File(uint64(100+i), 100, at)
		if _, err := client.Send(deadline(t), client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, at, next.OID)), m.ID); err != nil {
			t.Fatalf("push through member %d of a sleeping group: %v", i, err)
		}
		at = next.OID
		awaitSleep(c, g)
	}
	for _, m := range c.Members {
		if listed, err := client.List(deadline(t), m.ID, nil); err != nil || listed.Welcome.GetStale() || listed.Refs[main] != at {
			t.Errorf("a listing of a sleeping group: %v, %v", listed, err)
		}
	}
	awaitSleep(c, g)
	c.Converge(g)
	if now := c.Members[0].View(g).GetTerm(); now != term {
		t.Errorf("term %d, and before it slept %d", now, term)
	}
}

// Whatever happens to the leader of a sleeping group, the next push finds another.
func TestSleepersFindALeader(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(c *nodetest.Cluster, g *replica.Genesis, leader *nodetest.Member){
		"killed":        func(_ *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) { l.Kill() },
		"started again": func(_ *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) { l.Kill(); l.Start() },
		"cut off":       func(c *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) { c.Net.Isolate(l.ID) },
		"silent": func(c *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) {
			for _, m := range c.Others(l) {
				c.Net.Silence(l.ID, m.ID)
				c.Net.Silence(m.ID, l.ID)
			}
		},
		"unheard": func(c *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) {
			for _, m := range c.Others(l) {
				c.Net.Silence(l.ID, m.ID)
			}
		},
		"deaf": func(c *nodetest.Cluster, _ *replica.Genesis, l *nodetest.Member) {
			for _, m := range c.Others(l) {
				c.Net.Silence(m.ID, l.ID)
			}
		},
		"its replica has a problem": func(_ *nodetest.Cluster, g *replica.Genesis, l *nodetest.Member) {
			l.Node.Leave(g.Repo, errors.New("a test says so"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, g, client, at := asleep(t)
			leader := c.Settle(g)
			others := c.Others(leader)
			lose(c, g, leader)
			change := sha1.File(10, 100, at)
			p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, at, change.OID))
			if _, err := client.Send(deadline(t), p, others[0].ID, others[1].ID); err != nil {
				t.Fatal(err)
			}
			c.Converge(g, others...)
		})
	}
}

// Nobody pushes, and still a sleeping group whose leader is gone gets another
// soon, long before the check of the minute.
func TestSleepersNoticeSilence(t *testing.T) {
	t.Parallel()
	c, g, _, _ := asleep(t)
	leader := c.Settle(g)
	others := c.Others(leader)
	for _, m := range others {
		c.Net.Silence(leader.ID, m.ID)
		c.Net.Silence(m.ID, leader.ID)
	}
	began := time.Now()
	c.Eventually(func() string {
		for _, m := range others {
			if now := string(m.View(g).GetLeader()); now == string(leader.ID) || now == "" {
				return "the silent leader is followed"
			}
		}
		return ""
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v to replace a silent leader", took)
	}
}

// A member that is gone keeps nobody awake, and is not forgotten when it returns.
func TestTheDeadKeepNobodyAwake(t *testing.T) {
	t.Parallel()
	c, g, client, at := asleep(t)
	away := c.Members[0]
	away.Kill()
	for i := range 2 {
		next := sha1.File(uint64(50+i), 100, at)
		p := client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, at, next.OID))
		if _, err := client.Send(deadline(t), p, c.Members[1].ID, c.Members[2].ID); err != nil {
			t.Fatal(err)
		}
		at = next.OID
	}
	awaitSleep(c, g)
	away.Start()
	c.Converge(g)
	awaitSleep(c, g)
}
