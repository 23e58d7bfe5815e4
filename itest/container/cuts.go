package container

import (
	"fmt"
	"slices"
	"strings"
)

// cut is a direction in which nothing gets through.
type cut struct{ from, to *machine }

// cutOneWay makes all vanish that from sends to to.
func (c *cluster) cutOneWay(from, to *machine) error {
	return c.change(func() { c.cuts[cut{from, to}] = true }, to)
}

// cutOff makes all vanish between m and everybody else.
func (c *cluster) cutOff(m *machine) error {
	all := c.everybody()
	return c.change(func() {
		for _, other := range all {
			if other != m {
				c.cuts[cut{m, other}], c.cuts[cut{other, m}] = true, true
			}
		}
	}, all...)
}

// partition keeps the sides from each other. Machines on no side reach everybody.
func (c *cluster) partition(sides ...[]*node) error {
	all := c.everybody()
	return c.change(func() {
		for i, side := range sides {
			for _, from := range side {
				for _, to := range slices.Concat(append(append([][]*node{}, sides[:i]...), sides[i+1:]...)...) {
					c.cuts[cut{from.machine, to.machine}] = true
				}
			}
		}
	}, all...)
}

// heal ends all cuts.
func (c *cluster) heal() error {
	return c.change(func() { clear(c.cuts) }, c.everybody()...)
}

// reconnect ends all cuts of one machine.
func (c *cluster) reconnect(m *machine) error {
	return c.change(func() {
		for one := range c.cuts {
			if one.from == m || one.to == m {
				delete(c.cuts, one)
			}
		}
	}, c.everybody()...)
}

// powerLoss ends machines without a goodbye: to all others they are silent, and
// stay so until they are started.
func (c *cluster) powerLoss(lost ...*node) error {
	for _, n := range lost {
		n.dark = true
		if err := c.cutOff(n.machine); err != nil {
			return err
		}
	}
	return each(lost, func(i int) error { return lost[i].kill() })
}

func (c *cluster) everybody() []*machine {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.machines)
}

// change changes the cuts and tells the machines concerned.
func (c *cluster) change(how func(), concerned ...*machine) error {
	c.mu.Lock()
	how()
	c.mu.Unlock()
	return each(concerned, func(i int) error { return c.filter(concerned[i]) })
}

// filter has a machine drop what should not reach it. Dropping at the receiver is
// silent for the sender, which dropping there is not.
func (c *cluster) filter(m *machine) error {
	if m.down || m.paused { // start and unpause come back to it
		return nil
	}
	rules := []string{"*filter", ":INPUT ACCEPT"}
	c.mu.Lock()
	for one := range c.cuts {
		if one.to == m {
			rules = append(rules, fmt.Sprintf("-A INPUT -s %s -j DROP", one.from.ip))
		}
	}
	c.mu.Unlock()
	return m.root(strings.Join(append(rules, "COMMIT\n"), "\n"), "iptables-restore")
}

// dress gives a machine that has just begun to run the network that it is to
// have: what was there went with its last run. Until then, some 100 ms, it may
// receive what it should not; what it sends is dropped by the others all the same.
func (c *cluster) dress(m *machine) error {
	c.mu.Lock()
	cut, slow := len(c.cuts) > 0, c.link != link{} || c.wire != nil
	c.mu.Unlock()
	if cut {
		if err := c.filter(m); err != nil {
			return err
		}
	}
	if !slow {
		return nil
	}
	if err := c.slowDown(m); err != nil || c.wire == nil {
		return err
	}
	all := c.everybody() // who may not know m
	return each(all, func(i int) error { return c.slowDown(all[i]) })
}
