package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fleet is a network of three nodes, made by "peer dev". Its first node belongs
// to the person who owns the repositories.
type fleet struct {
	b     *bench
	dir   string
	dev   *daemon
	nodes []*node
	more  []string // in the environment of nodes that are started again
}

const (
	replicas     = 3
	settleMax    = 60 * time.Second // until a group is whole again
	pollInterval = 50 * time.Millisecond
)

// newFleet starts one. It is stopped by close, and its files stay with the bench.
func (b *bench) newFleet(ctx context.Context) (*fleet, error) {
	dir, err := b.newDir("net")
	if err != nil {
		return nil, err
	}
	f := &fleet{b: b, dir: dir}
	if f.dev, err = b.start(ctx, "peer-dev", nil, b.peer, "dev", "--dir", dir, "--nodes", strconv.Itoa(replicas)); err != nil {
		return nil, err
	}
	if err := f.dev.awaitReady(ctx); err != nil {
		f.close()
		return nil, err
	}
	for i := range replicas {
		n := &node{fleet: f, name: fmt.Sprintf("node%d", i+1)}
		n.home = filepath.Join(dir, n.name)
		f.nodes = append(f.nodes, n)
		if err := n.identify(ctx); err != nil {
			f.close()
			return nil, err
		}
	}
	return f, nil
}

// fleetsMax is how many networks followingFleet draws; each has one chance in
// three of being of no use.
const fleetsMax = 12

// followingFleet starts a fleet whose first node is not the one that its groups
// prefer as leader. So in every row the person's node is a follower and passes
// pushes on, which is the commoner case and the dearer one, and does not depend
// on the keys that were drawn.
func (b *bench) followingFleet(ctx context.Context) (*fleet, error) {
	for range fleetsMax {
		f, err := b.newFleet(ctx)
		if err != nil || f.highest() != f.nodes[0] {
			return f, err
		}
		f.close()
	}
	return nil, fmt.Errorf("%d networks in a row whose first node has the highest ID", fleetsMax)
}

// highest is the node with the highest peer ID. The texts compare like the bytes:
// the base58 alphabet is in the order of ASCII, and IDs of one kind of key have
// one length.
func (f *fleet) highest() *node {
	return slices.MaxFunc(f.nodes, func(a, b *node) int { return strings.Compare(a.peerID, b.peerID) })
}

// close ends all nodes, stopped ones included.
func (f *fleet) close() {
	for _, n := range f.nodes {
		n.thaw()
		if n.own != nil {
			n.own.stop()
		}
	}
	f.dev.stop()
}

func (f *fleet) pids() []int {
	var pids []int
	for _, n := range f.nodes {
		pids = append(pids, n.pid)
	}
	return pids
}

// env is that of a person whose home is that of node i, as DIR/env sets it.
func (f *fleet) env(i int) []string {
	return []string{"PATH=" + filepath.Join(f.dir, "bin") + ":" + os.Getenv("PATH"), "PEER_HOME=" + f.nodes[i].home}
}

// node is one process of the fleet.
type node struct {
	fleet  *fleet
	name   string
	home   string
	peerID string
	git    string // host:port of its git daemon; empty if it has none
	pid    int
	own    *daemon // set once it was started again, since "peer dev" does not
}

// identify asks the node who it is.
func (n *node) identify(ctx context.Context) error {
	var status struct {
		PeerID  string `json:"peer_id"`
		GitAddr string `json:"git_addr"`
	}
	if err := n.ask(ctx, &status, "status", "--json"); err != nil {
		return err
	}
	n.peerID, n.git = status.PeerID, status.GitAddr
	raw, err := os.ReadFile(filepath.Join(n.home, "peer.pid"))
	if err != nil {
		return err
	}
	n.pid, err = strconv.Atoi(strings.TrimSpace(string(raw)))
	return err
}

// ask runs a client command that prints JSON.
func (n *node) ask(ctx context.Context, into any, args ...string) error {
	out, _, err := n.fleet.b.run(ctx, command{
		dir: n.fleet.dir, env: []string{"PEER_HOME=" + n.home}, args: append([]string{n.fleet.b.peer}, args...),
	})
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("peer %s printed %.80q: %w", strings.Join(args, " "), out, err)
	}
	return nil
}

// kill ends the process as a crash does, and does not wait.
func (n *node) kill() error { return syscall.Kill(n.pid, syscall.SIGKILL) }

// freeze stops the process where it is; its connections stay open.
func (n *node) freeze() error { return syscall.Kill(n.pid, syscall.SIGSTOP) }

// thaw lets it go on. Whoever has ended needs none.
func (n *node) thaw() { _ = syscall.Kill(n.pid, syscall.SIGCONT) }

// restart starts a node again that was killed, and waits until it serves.
func (n *node) restart(ctx context.Context) error {
	if err := poll(ctx, time.Millisecond, stopPatience, n.gone); err != nil {
		return err
	}
	if n.own != nil {
		n.own.stop()
	}
	var err error
	if n.own, err = n.fleet.b.start(ctx, n.name, n.fleet.more, n.fleet.b.peer, "--home", n.home, "node"); err != nil {
		return err
	}
	n.pid = n.own.pid()
	return n.own.awaitReady(ctx)
}

// gone objects until the process has ended and its parent has taken note.
func (n *node) gone() error {
	if err := syscall.Kill(n.pid, 0); errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return fmt.Errorf("%s (process %d) has not ended", n.name, n.pid)
}
