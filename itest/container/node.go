package container

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peer/itest/internal/people"
)

// Ports of a node.
const (
	nodePort = 4001
	gitPort  = 9418
	grpcPort = 8022
)

// Where things are in the image.
const (
	homeDir    = "/var/lib/peer"
	keyPath    = "/etc/peer/key"
	binaryPath = "/usr/local/bin/peer"
)

const readyTimeout = 60 * time.Second

// node is a machine that runs peer.
type node struct {
	*machine
	*identity
	number int            // from 0, in the order of peer IDs; -1: bootstraps
	user   *people.Person // whose home is the node's
	disk   *disk          // nil: as large as the engine's
	gone   bool           // destroyed
	dark   bool           // lost its power
}

// addr is where others reach the node.
func (n *node) addr() string {
	return fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", n.ip, nodePort, n.peerID)
}

// start starts a node that is down, and waits until it serves.
func (n *node) start() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if n.dark {
		n.dark = false
		if err := n.c.reconnect(n.machine); err != nil {
			return err
		}
	}
	if err := n.ctr.Start(ctx); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	n.down = false
	return n.c.dress(n.machine)
}

// restart kills the node and starts it again.
func (n *node) restart() error { return errors.Join(n.kill(), n.start()) }

// upgrade stops the node in order and starts it with another binary, a file of
// this machine. What it keeps is in its home.
func (n *node) upgrade(binary string) error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if code, err := n.stop(); err != nil || code != 0 {
		return fmt.Errorf("%s stopped with code %d: %w", n.name, code, err)
	}
	if err := n.ctr.CopyFileToContainer(ctx, binary, binaryPath, 0o755); err != nil {
		return fmt.Errorf("upgrade %s: %w", n.name, err)
	}
	return n.start()
}

// gitURL is a repository by plain git:// from outside, at this node.
func (n *node) gitURL(r *repo) (string, error) {
	at, err := n.published(gitPort)
	return "git://" + at + "/" + r.path(), err
}

// healthy runs the image's own check.
func (n *node) healthy() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	found, err := n.ctr.Inspect(ctx)
	if err != nil {
		return err
	}
	check := found.Config.Healthcheck
	if check == nil || len(check.Test) < 2 || check.Test[0] != "CMD" {
		return errors.New("the image has no check of its health")
	}
	if r := n.exec(asPeer, people.Command{Args: check.Test[1:]}); r.Code != 0 {
		return fmt.Errorf("the image's check of its health: %v", r)
	}
	return nil
}
