package nodetest

import (
	"os"
	"sync"

	"peer/node"
)

// Death is a process that dies when it comes to a persist point.
type Death struct {
	// Died is closed at that moment. Bury comes next.
	Died chan struct{}

	m     *Member
	point string
	undo  func(*node.Config)

	mu   sync.Mutex
	left int
	host *Host
	disk *barred
	dead bool
}

// DieAt has the next process of m die when it comes to a persist point for the
// n-th time. See [node.FailPoints].
func (m *Member) DieAt(point string, n int) *Death {
	d := &Death{m: m, point: point, left: n, Died: make(chan struct{}), undo: m.Configure}
	m.Configure = func(c *node.Config) {
		if d.undo != nil {
			d.undo(c)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.host, d.disk = c.Network.(*Host), c.Store.(*barred)
		c.Fail = d.pass
	}
	return d
}

// image is where the repositories are kept as they were at the moment of death.
func (d *Death) image() string { return d.m.Repos + ".dead" }

// pass takes the image of the repositories at the point, and bars the process
// from its store and the network: nothing that it does afterwards counts.
func (d *Death) pass(point string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead || point != d.point {
		return
	}
	if d.left--; d.left > 0 {
		return
	}
	d.dead = true
	d.host.Down()
	d.disk.die()
	if err := copyTree(d.image(), d.m.Repos); err != nil {
		d.m.t.Errorf("image of a dead disk: %v", err)
	}
	close(d.Died)
}

// Bury waits for what is left of the process, and puts the repositories to where
// they were when it died.
func (d *Death) Bury() {
	d.m.t.Helper()
	d.m.Configure = d.undo
	if d.m.Node != nil {
		d.m.reap()
	}
	if err := os.RemoveAll(d.m.Repos); err != nil {
		d.m.t.Errorf("bury: %v", err)
	}
	if err := os.Rename(d.image(), d.m.Repos); err != nil {
		d.m.t.Errorf("bury: %v", err)
	}
}
