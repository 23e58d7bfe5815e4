package itest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/binary"
)

// cluster is a closed network of nodes on loopback. Nodes are numbered from 0, in
// the order of their peer IDs: while all are in sync the last one leads. The
// owner of the repositories is the user of node 0.
type cluster struct {
	t        testing.TB // the test that uses it now: see run
	logs     string
	dir      string // short, since sockets live in it
	logLevel string
	nodeEnv  []string
	nodes    []*node
	lifeline *os.File // nodes end when its other end closes
	waiters  sync.WaitGroup
	board    *switchboard // nil: all are on loopback
}

// options say what cluster to start. The zero value: three nodes.
type options struct {
	nodes    int
	env      []string             // for every node
	home     func(i int) string   // where the home of node i is, if not "" and not with the others
	config   func(map[string]any) // changes what goes into every config file
	logLevel string               // info
	board    *switchboard         // what nodes and people are plugged into; nil: loopback
}

const meetTimeout = 20 * time.Second

// newCluster starts nodes and waits until they have found each other. They, and
// all they wrote, go with the test; if it fails, their logs stay.
func newCluster(t testing.TB, o options) *cluster {
	t.Helper()
	if o.nodes == 0 {
		o.nodes = 3
	}
	c := &cluster{t: t, logs: t.ArtifactDir(), nodeEnv: o.env, logLevel: o.logLevel, board: o.board}
	if c.logLevel == "" {
		c.logLevel = "info"
	}
	var err error
	if c.dir, err = os.MkdirTemp("", "peer-it-"); err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	c.lifeline = read
	t.Cleanup(func() { c.close(write) })
	if err := c.install(); err != nil {
		t.Fatal(err)
	}
	c.makeHomes(o)
	for _, n := range c.nodes {
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range c.nodes {
		if err := n.awaitReady(); err != nil {
			t.Fatal(err)
		}
	}
	c.awaitMeeting()
	return c
}

// run runs a subtest, in whose name the cluster then fails.
func (c *cluster) run(t *testing.T, name string, f func(*testing.T)) bool {
	t.Helper()
	return t.Run(name, func(t *testing.T) {
		outer := c.t
		c.t = t
		defer func() { c.t = outer }()
		f(t)
	})
}

// install puts the binary and the links by which git finds it into bin.
func (c *cluster) install() error {
	built, err := binary.Path()
	if err != nil {
		return err
	}
	bin := filepath.Join(c.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"peer", "git-remote-peer", "git-peer"} {
		if err := os.Symlink(built, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) peer() string { return filepath.Join(c.dir, "bin", "peer") }

// makeHomes draws keys and ports and writes the config files.
func (c *cluster) makeHomes(o options) {
	c.t.Helper()
	for i := range o.nodes {
		n := &node{c: c, name: fmt.Sprintf("node%d", i+1), number: i}
		n.home = filepath.Join(c.dir, n.name)
		if o.home != nil && o.home(i) != "" {
			n.home = o.home(i)
		}
		n.log = filepath.Join(c.logs, n.name+".log")
		if err := os.MkdirAll(n.home, 0o700); err != nil {
			c.t.Fatal(err)
		}
		n.user = c.person(n.home)
		n.peerID = n.user.Identity().PeerID
		c.nodes = append(c.nodes, n)
	}
	c.sortKeys()
	addrs := make([]string, o.nodes)
	for i, n := range c.nodes {
		n.port, n.gitPort = freePort(c.t), freePort(c.t)
		addrs[i] = fmt.Sprintf("%s/p2p/%s", n.listens(), n.peerID)
	}
	secret := fmt.Sprintf("itest-%d-%d", os.Getpid(), rand.Uint64())
	for i, n := range c.nodes {
		config := map[string]any{
			"rendezvous": secret, "secret": secret,
			"listen":    []string{n.listens()},
			"peer":      append(append([]string{}, addrs[:i]...), addrs[i+1:]...),
			"mdns":      false,
			"nat":       false,
			"grpc-port": 0,
			"git-port":  fmt.Sprintf("%s:%d", n.host(), n.gitPort),
		}
		if o.config != nil {
			o.config(config)
		}
		raw, err := json.Marshal(config)
		if err == nil {
			err = os.WriteFile(filepath.Join(n.home, "config.json"), raw, 0o600)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// sortKeys deals the keys out so that peer IDs ascend with the nodes' numbers.
// All IDs of Ed25519 keys have the same length, and base 58 has its digits in
// the order of ASCII, so their spellings compare as their bytes do.
func (c *cluster) sortKeys() {
	c.t.Helper()
	keys := map[string][]byte{}
	var ids []string
	for _, n := range c.nodes {
		raw, err := os.ReadFile(filepath.Join(n.home, "key"))
		if err != nil {
			c.t.Fatal(err)
		}
		keys[n.peerID], ids = raw, append(ids, n.peerID)
	}
	slices.Sort(ids)
	for i, n := range c.nodes {
		n.peerID = ids[i]
		if err := os.WriteFile(filepath.Join(n.home, "key"), keys[n.peerID], 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

// given are the ports that nodes of this run have, or had.
var given sync.Map

// freePort finds a port that nothing listens on, below those that the kernel
// gives to outgoing connections: a node that is down must find its port again.
func freePort(t testing.TB) int {
	t.Helper()
	var config net.ListenConfig
	for range 100 {
		port := 20000 + rand.IntN(12000)
		if _, taken := given.LoadOrStore(port, true); taken {
			continue
		}
		l, err := config.Listen(context.Background(), "tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no free port between 20000 and 32000")
	return 0
}

// awaitMeeting waits until every running node is connected to every other.
func (c *cluster) awaitMeeting() {
	c.t.Helper()
	want := 0
	for _, n := range c.nodes {
		if n.runs() {
			want++
		}
	}
	for i, n := range c.nodes {
		if !n.runs() {
			continue
		}
		await.Eventually(c.t, meetTimeout, func() error {
			status, err := c.at(i).Status()
			if err != nil {
				return err
			}
			others := map[string]bool{}
			for _, p := range status.Peers {
				others[p.PeerID] = true
			}
			if len(others) < want-1 {
				return fmt.Errorf("%s is connected to %d of %d others", n.name, len(others), want-1)
			}
			return nil
		})
	}
}

// close ends all nodes. A test that failed gets the ends of their logs.
func (c *cluster) close(lifeline *os.File) {
	for _, n := range c.nodes {
		if n.runs() {
			_ = n.signal(syscall.SIGCONT)
			if err := n.kill(); err != nil {
				c.t.Error(err)
			}
		}
	}
	_ = lifeline.Close()
	c.waiters.Wait()
	_ = c.lifeline.Close()
	if err := c.awaitOrphans(); err != nil {
		c.t.Error(err)
	}
	if c.t.Failed() {
		for _, n := range c.nodes {
			c.t.Logf("the end of %s:\n%s", n.log, tail(n.log, 25))
		}
	}
	if os.Getenv("PEER_KEEP") != "" {
		c.t.Logf("homes stay in %s", c.dir)
		return
	}
	for _, n := range c.nodes {
		_ = os.RemoveAll(n.home)
	}
	if err := os.RemoveAll(c.dir); err != nil {
		c.t.Error(err)
	}
}
