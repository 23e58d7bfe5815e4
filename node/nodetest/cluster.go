package nodetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/store/storetest"
	"peer/replica"
)

// Tick is the clock of the nodes, unless a test configures another.
const Tick = 20 * time.Millisecond

// Patience is how long the cluster waits for what must happen.
const Patience = 40 * time.Second

// Cluster is a number of machines in one network.
type Cluster struct {
	t       testing.TB
	Net     *Network
	Members []*Member // in the order of their peer IDs: the last one should lead
	clients int
	logs    *logBuffer
}

// New makes machines, of which none runs yet.
func New(t testing.TB, members int, configure func(*node.Config)) *Cluster {
	t.Helper()
	c := &Cluster{t: t, Net: NewNetwork(), logs: &logBuffer{}}
	dir := t.TempDir()
	for i := range members {
		key := keyOf("member", i)
		c.Members = append(c.Members, &Member{
			Key: key, ID: key.PeerID(), Store: storetest.New(), Configure: configure,
			t: t, net: c.Net, tick: Tick,
		})
	}
	slices.SortFunc(c.Members, func(a, b *Member) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i, m := range c.Members {
		m.Repos = filepath.Join(dir, fmt.Sprintf("node%d", i))
		m.log = c.logs.logger().With("node", i)
	}
	t.Cleanup(c.end)
	return c
}

// Start makes machines and starts them all.
func Start(t testing.TB, members int, configure func(*node.Config)) *Cluster {
	t.Helper()
	c := New(t, members, configure)
	for _, m := range c.Members {
		m.Start()
	}
	return c
}

// keyOf makes the same key every time, so that a test's leader is always the same.
func keyOf(kind string, i int) identity.Key {
	var seed [32]byte
	copy(seed[:], kind)
	binary.BigEndian.PutUint64(seed[24:], uint64(i))
	return identity.KeyFromSeed(seed)
}

func (c *Cluster) end() {
	c.Net.Heal()
	for _, m := range c.Members {
		m.Kill()
	}
	if c.t.Failed() {
		c.t.Logf("the nodes' logs:\n%s", c.logs.tail())
	}
}

// IDs are the peer IDs of the members.
func (c *Cluster) IDs() []identity.PeerID {
	ids := make([]identity.PeerID, len(c.Members))
	for i, m := range c.Members {
		ids[i] = m.ID
	}
	return ids
}

// Found creates a repository on all members; the first one owns it.
func (c *Cluster) Found(o node.InitOptions) *replica.Genesis {
	c.t.Helper()
	if o.Name == "" {
		o.Name = "demo"
	}
	if o.On == nil {
		o.On = c.IDs()
	}
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	info, err := c.Members[0].Node.Init(ctx, o)
	if err != nil {
		c.t.Fatalf("init: %v", err)
	}
	return info.Genesis
}

// Client makes a client with the key of the owner, which is the first member's.
func (c *Cluster) Client(g *replica.Genesis) *Client { return c.ClientAs(c.Members[0].Key, g) }

// ClientAs makes a client with any key, on a host of its own.
func (c *Cluster) ClientAs(key identity.Key, g *replica.Genesis) *Client {
	c.clients++
	host := c.Net.Host(keyOf("client", c.clients).PeerID())
	c.t.Cleanup(host.Close)
	return &Client{Key: key, Genesis: g, Net: host}
}

// Eventually polls until ok says nothing; what it says last is what failed.
func (c *Cluster) Eventually(ok func() string) {
	c.t.Helper()
	Eventually(c.t, ok)
}

// Eventually polls until ok says nothing; what it says last is what failed.
func Eventually(t testing.TB, ok func() string) {
	t.Helper()
	var last string
	for deadline := time.Now().Add(Patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if last = ok(); last == "" {
			return
		}
	}
	t.Fatalf("not within %v: %s", Patience, last)
}

// Leader waits until one running member leads and the other running ones know.
func (c *Cluster) Leader(g *replica.Genesis) *Member {
	c.t.Helper()
	var leader *Member
	c.Eventually(func() string {
		leader = nil
		said := map[identity.PeerID]int{}
		running := 0
		for _, m := range c.Members {
			if m.Running() {
				running++
				said[identity.PeerID(m.View(g).GetLeader())]++
			}
		}
		for _, m := range c.Members {
			if m.Running() && said[m.ID] == running {
				leader = m
				return ""
			}
		}
		return fmt.Sprintf("leaders by vote: %v", said)
	})
	return leader
}

// Settle waits until the highest member that runs leads, as it should in the
// end, so that nothing but faults changes the leader from here on.
func (c *Cluster) Settle(g *replica.Genesis) *Member {
	c.t.Helper()
	var leader *Member
	c.Eventually(func() string {
		leader = c.Leader(g)
		for _, m := range c.Members {
			if m.Running() && m.ID > leader.ID {
				return "a lower member leads"
			}
		}
		return ""
	})
	return leader
}

// Others are the members but these.
func (c *Cluster) Others(but ...*Member) (list []*Member) {
	for _, m := range c.Members {
		if !slices.Contains(but, m) {
			list = append(list, m)
		}
	}
	return list
}
