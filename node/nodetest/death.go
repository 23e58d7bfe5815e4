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

	mu          sync.Mutex
	armed, dead bool
	host        *Host
	disk        *barred
}

// Arm makes the next time at the point the last.
func (d *Death) Arm() *Death {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = true
	return d
}

// Disarm lets the process live, if it still does, and says whether it does.
func (d *Death) Disarm() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.armed = false
	if !d.dead {
		d.m.Configure = d.undo
	}
	return !d.dead
}

// DieAt has the next process of m die when it comes to a persist point, once it
// has been armed; node/failpoints.go lists them.
func (m *Member) DieAt(point string) *Death {
	d := &Death{m: m, point: point, Died: make(chan struct{}), undo: m.Configure}
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
	if d.dead || !d.armed || point != d.point {
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
