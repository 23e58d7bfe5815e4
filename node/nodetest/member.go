package nodetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/store/storetest"
)

// Member is a machine: a key, a disk, and a node while one runs.
type Member struct {
	Key   identity.Key
	ID    identity.PeerID
	Store *storetest.Store
	// Repos is the directory of the repositories.
	Repos string
	// SyncTakes is how long the disk takes for each save. Zero: no time.
	SyncTakes time.Duration
	// Configure has the last word on the node's configuration at each start.
	Configure func(*node.Config)

	t    testing.TB
	net  *Network
	log  *slog.Logger
	tick time.Duration

	// What runs; nil while nothing does.
	Node *node.Node
	Host *Host
	disk *barred
}

// Start starts the node on its disk.
func (m *Member) Start() {
	m.t.Helper()
	if err := m.TryStart(); err != nil {
		m.t.Fatalf("start node: %v", err)
	}
}

// TryStart is Start for disks on which it may fail.
func (m *Member) TryStart() error {
	host, disk := m.net.Host(m.ID), &barred{Store: m.Store, syncTakes: m.SyncTakes}
	c := node.Config{
		Key: m.Key, ReposDir: m.Repos, Network: host, Store: disk, Logger: m.log,
		Closed: true, Version: "test", Tick: m.tick, FreeBytesMin: 1,
	}
	if m.Configure != nil {
		m.Configure(&c)
	}
	n, err := node.Open(context.Background(), c)
	if err != nil {
		host.Close()
		return err
	}
	m.Node, m.Host, m.disk = n, host, disk
	return nil
}

// Running says whether a node runs.
func (m *Member) Running() bool { return m.Node != nil && m.disk.alive() }

// Stop ends the node in order.
func (m *Member) Stop() {
	m.t.Helper()
	if m.Node == nil {
		return
	}
	if err := m.Node.Close(); err != nil {
		m.t.Errorf("close node: %v", err)
	}
	m.Host.Close()
	m.Node, m.Host = nil, nil
}

// Kill ends the process at once: what it had not saved is gone. Files that it
// writes until all its goroutines have ended count as written before; the store
// does not change any more, and nobody hears from it.
func (m *Member) Kill() {
	if m.Node == nil {
		return
	}
	m.Host.Down()
	m.disk.die()
	m.reap()
}

// reap waits for what is left of a process that is dead to the world.
func (m *Member) reap() {
	_ = m.Node.Close() // it may complain about its disk
	m.Store = m.Store.Crash()
	m.Host.Close()
	m.Node, m.Host = nil, nil
}
