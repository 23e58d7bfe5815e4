package container

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"
)

var (
	soakFlag    = flag.Bool("soak", false, "run TestSoak until it is interrupted")
	soakForFlag = flag.Duration("soak-for", 0, "end TestSoak after that time; 0: never")
)

// Five nodes break in all ways, one at a time, while clients at each of them and
// one without a node race for a few refs. Interrupted, all is mended, and the
// histories are judged.
//
//	client ── node1 ─┬─ node2 ── client        client (guest)
//	client ── node3 ─┼─ node4 ── client
//	                 └─ node5 ── client
func TestSoak(t *testing.T) {
	if !*soakFlag && *soakForFlag == 0 {
		t.Skip("just soak runs it")
	}
	soaking.Store(true)
	defer soaking.Store(false)
	ctx, cancel := signal.NotifyContext(t.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	if *soakForFlag > 0 {
		ctx, cancel = context.WithTimeout(ctx, *soakForFlag)
		defer cancel()
	}
	c := newCluster(t, options{nodes: 5})
	r := c.create("demo", nil, "--replicas", "5")
	s := newRace(r)
	clients := []*racer{s.join(0, c.ownerAt(c.guest("guest")), c.nodes[0].user)}
	for i, n := range c.nodes {
		clients = append(clients, s.join(i+1, c.ownerAt(n.machine), n.user))
	}
	var racing sync.WaitGroup
	for _, a := range clients {
		racing.Go(func() { a.run(ctx) })
	}
	counts := map[string]int{}
	if err := breakThings(ctx, t, s, counts); err != nil {
		t.Error(err)
	}
	cancel()
	racing.Wait()
	t.Logf("faults: %v", counts)
	r.converge()
	s.judge()
}

// fault is something that begins and ends.
type fault struct {
	name       string
	begin, end func() error
}

func breakThings(ctx context.Context, t *testing.T, s *race, counts map[string]int) error {
	c, report := s.r.c, time.Now()
	for ctx.Err() == nil {
		f := c.drawFault()
		counts[f.name]++
		if err := f.begin(); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		pause(ctx, 6*time.Second)
		if err := f.end(); err != nil {
			return fmt.Errorf("end of %s: %w", f.name, err)
		}
		pause(ctx, 4*time.Second)
		if time.Since(report) > time.Minute {
			report = time.Now()
			t.Logf("%s; faults: %v", s.summary(), counts)
		}
	}
	return nil
}

// pause makes the moments random: it waits for no condition.
func pause(ctx context.Context, most time.Duration) {
	select {
	case <-time.After(time.Duration(rand.Int64N(int64(most)))):
	case <-ctx.Done():
	}
}

func (c *cluster) drawFault() fault {
	order := rand.Perm(len(c.nodes))
	a, b := c.nodes[order[0]], c.nodes[order[1]]
	start := func(list ...*node) func() error {
		return func() error { return each(list, func(i int) error { return list[i].start() }) }
	}
	all := []fault{
		{"kill", a.kill, a.start},
		{"pause", a.pause, a.unpause},
		{"cut off", func() error { return c.cutOff(a.machine) }, c.heal},
		{"one-way cut", func() error { return c.cutOneWay(a.machine, b.machine) }, c.heal},
		{"2|3", func() error { return c.partition([]*node{a, b}, c.without(a, b)) }, c.heal},
		{"power loss of two", func() error { return c.powerLoss(a, b) }, start(a, b)},
		{"power loss of all", func() error { return c.powerLoss(c.nodes...) }, start(c.nodes...)},
		{"stop", func() error { _, err := a.stop(); return err }, a.start},
	}
	if c.slowable() {
		all = append(all, fault{"delay and loss", func() error { return c.slow(link{delay: 30 * time.Millisecond, loss: 0.1}) },
			func() error { return c.slow(link{}) }})
	}
	return all[rand.IntN(len(all))]
}

// slowable says whether links can be slow on this machine.
func (c *cluster) slowable() bool { return !errors.Is(c.slow(link{}), errNoDelay) }

// without are all nodes but some.
func (c *cluster) without(some ...*node) (rest []*node) {
	for _, n := range c.nodes {
		keep := true
		for _, other := range some {
			keep = keep && n != other
		}
		if keep {
			rest = append(rest, n)
		}
	}
	return rest
}
