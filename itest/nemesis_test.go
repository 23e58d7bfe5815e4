package itest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// nemesis breaks things and mends them, one or two at a time, and writes down
// what it did. Only it controls the nodes.
type nemesis struct {
	c      *cluster
	r      *repository
	random *rand.Rand
	board  *switchboard // nil: nothing can be cut
	disks  map[int]*smallDisk
	// members: they change as well; nil: they stay. images: the power can be cut;
	// nil: it can't.
	members *members
	images  []*imageDisk
	begin   time.Time
	calm    time.Duration // at most, between one strike and the next

	mu     sync.Mutex
	events []event
	count  map[string]int // of each kind of fault
}

// event is one line of the nemesis's log.
type event struct {
	at   time.Duration
	text string
}

// fault is something that begins and ends.
type fault struct {
	kind, text string
	begin, end func() error
	lasts      time.Duration // at most
}

// run breaks things until ctx ends, and leaves all mended.
func (m *nemesis) run(ctx context.Context) error {
	for ctx.Err() == nil {
		m.pause(ctx, m.calm)
		if err := m.strike(ctx); err != nil {
			return err
		}
	}
	return nil
}

// strike does one thing to one node, or at times something else to another one
// meanwhile.
func (m *nemesis) strike(ctx context.Context) error {
	victims := m.victims()
	faults := []fault{m.draw(victims[0])}
	if m.random.IntN(4) == 0 && !alone(faults[0]) {
		if second := m.draw(victims[1]); !alone(second) && !(isCut(second) && isCut(faults[0])) {
			faults = append(faults, second)
		}
	}
	for _, f := range faults {
		m.note(f.kind, "%s: begins", f.text)
		if err := f.begin(); err != nil {
			return fmt.Errorf("%s: %w", f.text, err)
		}
		m.pause(ctx, f.lasts)
	}
	m.random.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	for _, f := range faults {
		if err := f.end(); err != nil {
			return fmt.Errorf("end of %s: %w", f.text, err)
		}
		m.note("", "%s: over", f.text)
	}
	return nil
}

// isCut says that a fault uses the switchboard, which holds one at a time.
func isCut(f fault) bool { return strings.HasPrefix(f.kind, "cut") }

// alone says that a fault needs all nodes to run when it begins, or stops them all.
func alone(f fault) bool {
	return f.kind == "kill all" || f.kind == "cut the power" || f.kind == "wipe" || f.kind == "lose a node"
}

// victims are all nodes, in the order in which they are struck: often the leader
// first.
func (m *nemesis) victims() []int {
	order := m.random.Perm(len(m.c.nodes))
	if m.random.IntN(2) == 0 {
		return order
	}
	if s, err := m.r.show(order[0]); err == nil {
		for i, n := range m.c.nodes {
			if n.peerID == s.Leader {
				order = append([]int{i}, slices.DeleteFunc(order, func(j int) bool { return i == j })...)
			}
		}
	}
	return order
}

// draw chooses what happens to node i.
func (m *nemesis) draw(i int) fault {
	all := []func(int) fault{m.killed, m.killed, m.stopped, m.killedAll}
	if m.board != nil {
		all = append(all, m.cutOff, m.cutPair, m.cutAll)
	}
	if m.disks[i] != nil {
		all = append(all, m.diskFull)
	}
	if m.images != nil {
		all = append(all, m.powerCut)
	}
	if m.members != nil {
		all = append(all, m.membersChanged, m.membersChanged, m.membersChanged, m.wiped, m.wiped)
		if m.members.mayLose > 0 {
			all = append(all, m.lost)
		}
	}
	return all[m.random.IntN(len(all))](i)
}

func (m *nemesis) killed(i int) fault {
	n := m.c.nodes[i]
	return fault{"kill", "kill " + n.name, n.kill, n.restart0, 1500 * time.Millisecond}
}

func (m *nemesis) stopped(i int) fault {
	n := m.c.nodes[i]
	return fault{"stop", "stop " + n.name,
		func() error { return n.signal(syscall.SIGSTOP) },
		func() error { return n.signal(syscall.SIGCONT) }, 4 * time.Second}
}

func (m *nemesis) killedAll(int) fault {
	return fault{"kill all", "kill all", m.killAll, m.startAll, 200 * time.Millisecond}
}

func (m *nemesis) powerCut(int) fault {
	return fault{"cut the power", "cut the power of all", func() error { return cutPower(m.c, m.images) }, m.startAll, 200 * time.Millisecond}
}

func (m *nemesis) killAll() error {
	for _, n := range m.c.nodes { // at once: the first is not waited for
		if err := n.signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	for _, n := range m.c.nodes {
		if err := n.awaitEnd(stopPatience); err != nil {
			return err
		}
	}
	return nil
}

func (m *nemesis) startAll() error {
	for _, n := range m.c.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	for _, n := range m.c.nodes {
		if err := n.awaitReady(); err != nil {
			return err
		}
	}
	return nil
}

// restart0 brings a node back that was killed.
func (n *node) restart0() error { return n.restart() }

func (m *nemesis) cutOff(i int) fault {
	return fault{"cut off", "cut " + m.c.nodes[i].name + " off",
		func() error { return m.board.pull(i) }, func() error { return m.board.plugIn(i) }, 4 * time.Second}
}

func (m *nemesis) cutPair(i int) fault {
	j := (i + 1 + m.random.IntN(len(m.c.nodes)-1)) % len(m.c.nodes)
	return fault{"cut a pair", fmt.Sprintf("cut %s from %s", m.c.nodes[i].name, m.c.nodes[j].name),
		func() error { return m.board.apart(i, j) }, func() error { return m.board.apart() }, 4 * time.Second}
}

func (m *nemesis) cutAll(int) fault {
	all := make([]int, len(m.c.nodes))
	for i := range all {
		all[i] = i
	}
	return fault{"cut all", "cut all nodes from each other",
		func() error { return m.board.apart(all...) }, func() error { return m.board.apart() }, 3 * time.Second}
}

// diskFull leaves no room at all, and has an operator make room and restart the
// node, which may have stopped by itself.
func (m *nemesis) diskFull(i int) fault {
	n, d := m.c.nodes[i], m.disks[i]
	left := int64(m.random.IntN(3)) * 64 << 10
	return fault{"disk full", fmt.Sprintf("fill the disk of %s up to %d KiB", n.name, left>>10),
		func() error { return d.shrink(left) },
		func() error { return errors.Join(d.resize(historyDiskBytes), n.restart()) }, 2 * time.Second}
}

// shrink leaves little room without using any memory.
func (d *smallDisk) shrink(left int64) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return err
	}
	return d.resize(int64(s.Blocks-s.Bfree)*s.Bsize + left)
}

func (d *smallDisk) resize(size int64) error {
	err := syscall.Mount("peer-itest", d.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", size))
	if err == syscall.EINVAL { // it grew meanwhile beyond that
		return nil
	}
	return err
}

// pause makes the moments random: it waits for no condition.
func (m *nemesis) pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(m.random.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}

func (m *nemesis) note(kind, format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, event{time.Since(m.begin), fmt.Sprintf(format, args...)})
	if kind != "" {
		m.count[kind]++
	}
}

// log prints what was done in a span of time.
func (m *nemesis) log(t testing.TB, from, to time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.at >= from && e.at <= to {
			t.Logf("%9.3fs %s", e.at.Seconds(), e.text)
		}
	}
}
