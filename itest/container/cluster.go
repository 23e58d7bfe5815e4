package container

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"peer/itest/internal/await"
	"peer/itest/internal/people"
)

// options say what cluster to start. The zero value: three nodes in a closed
// network, each knowing the others' addresses.
type options struct {
	nodes     int
	none      bool          // no nodes: machines come one by one
	bootstrap bool          // nodes know the address of a bootstrap node, and no other
	open      bool          // no secret: the nodes are strangers to each other
	disk      map[int]int64 // sizes in bytes of the disks of some nodes
	env       []string      // for every node, KEY=VALUE
}

// cluster is a network of nodes, ended with the test. Nodes are numbered from 0,
// in the order of their peer IDs: while all are in sync the last one leads.
type cluster struct {
	t     testing.TB
	o     options
	name  string
	inner *testcontainers.DockerNetwork
	net   netip.Prefix
	net0  string // the network's secret and rendezvous

	boot  *node // nil without one
	nodes []*node

	mu       sync.Mutex
	machines []*machine
	cuts     map[cut]bool
	link     link  // between all machines
	wire     *wire // carries what the kernel can't delay; nil: not yet
}

// Timeouts of a cluster.
const (
	meetTimeout     = 30 * time.Second
	convergeTimeout = 60 * time.Second
	logTailLines    = 30
)

// newCluster starts nodes and waits until they have found each other. All of it
// goes with the test; if that fails, logs stay.
func newCluster(t testing.TB, o options) *cluster {
	t.Helper()
	if o.nodes == 0 && !o.none {
		o.nodes = 3
	}
	name := fmt.Sprintf("%d-%d", os.Getpid(), rand.Uint32())
	c := &cluster{t: t, o: o, name: name, net0: "itest-" + name, cuts: map[cut]bool{}}
	t.Cleanup(c.close)
	begin := time.Now()
	if err := c.build(); err != nil {
		t.Fatal(err)
	}
	c.awaitMeeting()
	t.Logf("%d nodes have met after %v", len(c.nodes), time.Since(begin).Round(time.Millisecond))
	return c
}

func (c *cluster) build() error {
	if err := c.makeNetwork(); err != nil {
		return err
	}
	extra := 0
	if c.o.bootstrap {
		extra = 1
	}
	keys, err := newIdentities(c.o.nodes + extra)
	if err != nil {
		return err
	}
	for i := range c.o.nodes {
		c.nodes = append(c.nodes, c.plan(i, keys[i]))
	}
	all := c.nodes
	if c.o.bootstrap {
		c.boot = c.plan(-1, keys[c.o.nodes])
		all = append([]*node{c.boot}, c.nodes...)
	}
	return each(all, func(i int) error { return c.launch(all[i]) })
}

// subnets counts those that this process has tried.
var subnets atomic.Uint32

// makeNetwork makes the inner network, with a subnet that nobody uses.
func (c *cluster) makeNetwork() error {
	return docker.make(func(ctx context.Context) (err error) {
		for range 256 {
			third := byte(uint32(os.Getpid()) + subnets.Add(1))
			c.net = netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 213, third, 0}), 24)
			c.inner, err = tcnetwork.New(ctx, tcnetwork.WithInternal(), tcnetwork.WithLabels(docker.labels(c.name)),
				tcnetwork.WithIPAM(&network.IPAM{Config: []network.IPAMConfig{{Subnet: c.net}}}))
			if err == nil || !strings.Contains(err.Error(), "overlaps") {
				break
			}
		}
		return err
	})
}

// address deals out fixed addresses: 2 to 9 to those who bootstrap, 10 to 99 to
// nodes, the rest to guests.
func (c *cluster) address(last int) netip.Addr {
	four := c.net.Addr().As4()
	four[3] = byte(last)
	return netip.AddrFrom4(four)
}

// plan says what a node will be.
func (c *cluster) plan(number int, key *identity) *node {
	m := &machine{c: c, name: fmt.Sprintf("node%d", number+1), ip: c.address(10 + number)}
	if number < 0 {
		m.name, m.ip = "boot", c.address(2)
	}
	return &node{machine: m, identity: key, number: number, user: &people.Person{Place: m, Dir: "/people"}}
}

// knows are the addresses that a newcomer is told.
func (c *cluster) knows(self *node) string {
	if c.boot != nil && self != c.boot {
		return c.boot.addr()
	}
	var list []string
	for _, n := range c.nodes {
		if n != self && !n.gone {
			list = append(list, n.addr())
		}
	}
	return strings.Join(list, ",")
}

// environment is what a machine's programs find. Clients that have no node use
// the network's part of it.
func (c *cluster) environment(ip netip.Addr, knows string) map[string]string {
	env := map[string]string{
		"PEER_RENDEZVOUS": c.net0, "PEER_SECRET": c.net0, "PEER_PEER": knows,
		"PEER_LISTEN": fmt.Sprintf("/ip4/%s/tcp/%d", ip, nodePort),
		"PEER_NAT":    "false", // what is asked of gateways is asked of this machine's
	}
	if c.o.open {
		delete(env, "PEER_SECRET")
		env["PEER_LISTEN"] += fmt.Sprintf(",/ip4/%s/udp/%d/quic-v1", ip, nodePort)
	}
	if knows == "" {
		delete(env, "PEER_PEER")
	}
	return env
}

// launch makes the node's machine and waits until it serves.
func (c *cluster) launch(n *node) error {
	env := c.environment(n.ip, c.knows(n))
	env["PEER_PRIV_KEY"] = keyPath
	if c.o.open {
		env["PEER_ACCEPT"] = "all"
	}
	env["PEER_GIT_PORT"] = fmt.Sprintf("0.0.0.0:%d", gitPort)
	env["PEER_GRPC_PORT"] = fmt.Sprintf("0.0.0.0:%d", grpcPort)
	for _, pair := range c.o.env {
		key, value, _ := strings.Cut(pair, "=")
		env[key] = value
	}
	var mounts []mount.Mount
	if size := c.o.disk[n.number]; size > 0 && n != c.boot {
		var err error
		if n.disk, err = c.newDisk(n.name, size); err != nil {
			return err
		}
		mounts = append(mounts, mount.Mount{Type: mount.TypeVolume, Source: n.disk.volume, Target: homeDir})
	}
	with := []testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(env),
		testcontainers.WithFiles(testcontainers.ContainerFile{Reader: strings.NewReader(string(n.pem)), ContainerFilePath: keyPath, FileMode: 0o444}),
		testcontainers.WithExposedPorts(fmt.Sprintf("%d/tcp", gitPort), fmt.Sprintf("%d/tcp", grpcPort)),
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.Mounts = append(h.Mounts, mounts...) }),
		testcontainers.WithWaitStrategyAndDeadline(readyTimeout, wait.ForExec([]string{"peer", "status"}).WithPollInterval(150*time.Millisecond)),
	}
	if n == c.boot {
		with = append(with, testcontainers.WithCmd("bootstrap"))
	}
	return c.run(n.machine, with...)
}

// run makes a machine with a foot in the inner network and one outside.
func (c *cluster) run(m *machine, with ...testcontainers.ContainerCustomizer) error {
	all := append([]testcontainers.ContainerCustomizer{
		// The first: the modifier below sees no other.
		tcnetwork.WithNetwork([]string{m.name}, c.inner),
		tcnetwork.WithNetwork([]string{c.name + "-" + m.name}, docker.outside),
		testcontainers.WithEndpointSettingsModifier(func(s map[string]*network.EndpointSettings) {
			s[c.inner.Name].IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: m.ip}
		}),
		testcontainers.WithLabels(docker.labels(c.name)),
		// Root has it, and peer is not root.
		testcontainers.WithHostConfigModifier(func(h *container.HostConfig) { h.CapAdd = append(h.CapAdd, "NET_ADMIN") }),
	}, with...)
	err := docker.make(func(ctx context.Context) (err error) {
		m.ctr, err = testcontainers.Run(ctx, docker.image, all...)
		return err
	})
	if err != nil {
		said := ""
		if m.ctr != nil {
			said = "\n" + tail(m.log())
		}
		return fmt.Errorf("start %s: %w%s", m.name, err, said)
	}
	c.mu.Lock()
	c.machines = append(c.machines, m)
	c.mu.Unlock()
	return c.dress(m)
}

// add starts one more node and waits until all have met it.
func (c *cluster) add() *node {
	c.t.Helper()
	key, err := newIdentities(1)
	if err == nil {
		n := c.plan(len(c.nodes), key[0])
		c.nodes = append(c.nodes, n)
		err = c.launch(n)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.awaitMeeting()
	return c.nodes[len(c.nodes)-1]
}

// destroy loses a node for good, with its disk.
func (c *cluster) destroy(n *node) {
	c.t.Helper()
	err := c.powerLoss(n)
	if err == nil {
		n.gone = true
		err = n.remove()
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// guest is a machine without a node, in the same network.
func (c *cluster) guest(name string) *machine {
	c.t.Helper()
	c.mu.Lock()
	m := &machine{c: c, name: name, ip: c.address(100 + len(c.machines))}
	c.mu.Unlock()
	err := c.run(m, testcontainers.WithEnv(c.environment(m.ip, c.knows(nil))), testcontainers.WithEntrypoint("sleep", "infinity"),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		}))
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

// ownerAt is the user of node 0 away from home: at machine m, with a client that
// reaches the network through the node there, or by itself where none is.
func (c *cluster) ownerAt(m *machine) *people.Person {
	c.t.Helper()
	p := m.person("owner", c.nodes[0].identity)
	for _, n := range c.nodes {
		if n.machine == m {
			p.Env = []string{"PEER_PEER=" + n.addr()}
		}
	}
	return p
}

// up are the nodes that run.
func (c *cluster) up() (list []*node) {
	for _, n := range c.nodes {
		if !n.down && !n.paused && !n.gone {
			list = append(list, n)
		}
	}
	return list
}

// awaitMeeting waits until every running node is connected to every other.
func (c *cluster) awaitMeeting() {
	c.t.Helper()
	all := c.up()
	err := each(all, func(i int) error {
		return await.Poll(meetTimeout, func() error {
			status, err := all[i].user.Status()
			if err != nil {
				return err
			}
			met := map[string]bool{}
			for _, p := range status.Peers {
				met[p.PeerID] = true
			}
			for _, other := range all {
				if other != all[i] && !met[other.peerID] {
					return fmt.Errorf("%s is not connected to %s", all[i].name, other.name)
				}
			}
			return nil
		})
	})
	if err != nil {
		c.t.Fatalf("not after %v: %v", meetTimeout, err)
	}
}

// close removes all; a test that failed keeps the logs.
func (c *cluster) close() {
	if c.wire != nil {
		c.wire.close()
	}
	if c.t.Failed() {
		dir := c.t.ArtifactDir()
		for _, m := range c.machines {
			text := m.log()
			path := filepath.Join(dir, m.name+".log")
			c.t.Logf("the end of %s:\n%s", path, tail(text))
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				c.t.Log(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if err := docker.sweep(ctx, c.name); err != nil {
		c.t.Error(errors.Join(errors.New("what the test made can't be removed"), err))
	}
}

// tail is the end of a log.
func tail(text string) string {
	list := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(list[max(0, len(list)-logTailLines):], "\n")
}
