package container

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// link is how the network treats what two machines send each other, each way.
type link struct {
	delay time.Duration
	loss  float64 // from 0 to 1
}

// errNoDelay says that neither the kernel nor this process can slow a link down.
var errNoDelay = errors.New("this machine can't delay packets: the kernel lacks netem, and the test is not root on the engine's own Linux")

// netem is what the kernel was found to be able to do.
var netem struct {
	once sync.Once
	err  error
}

// slow makes the links between all machines so, those started later included; the
// zero link ends it. The kernel's netem does it; where there is none, a wire.
func (c *cluster) slow(l link) error {
	all := c.everybody()
	netem.once.Do(func() {
		if netem.err = c.queue(all[0], link{delay: time.Millisecond}); netem.err == nil {
			netem.err = c.queue(all[0], link{})
		}
	})
	c.mu.Lock()
	c.link = l
	c.mu.Unlock()
	if netem.err != nil {
		return c.slowByWire(l, all)
	}
	return each(all, func(i int) error { return c.slowDown(all[i]) })
}

// slowDown does it for one machine.
func (c *cluster) slowDown(m *machine) error {
	if m.down || m.paused {
		return nil
	}
	if c.wire != nil {
		return c.wire.attach(m)
	}
	return c.queue(m, c.link)
}

// queue has the kernel of a machine treat what it sends.
func (c *cluster) queue(m *machine, l link) error {
	if m.down || m.paused {
		return nil
	}
	what := fmt.Sprintf("tc qdisc replace dev \"$dev\" root netem delay %dus loss %f%% limit 100000", l.delay.Microseconds(), 100*l.loss)
	if l == (link{}) {
		what = `tc qdisc del dev "$dev" root 2>/dev/null || true`
	}
	return m.root("", "sh", "-c", fmt.Sprintf(`dev=$(ip -o addr show to %s | { read -r number dev rest; echo "$dev"; }) && %s`, m.ip, what))
}

// slowByWire has this process carry all packets.
func (c *cluster) slowByWire(l link, all []*machine) error {
	if c.wire == nil {
		w, err := newWire()
		if err != nil {
			return fmt.Errorf("%w (%w; %s)", errNoDelay, err, strings.TrimSpace(netem.err.Error()))
		}
		c.wire = w
	}
	c.wire.set(l)
	return each(all, func(i int) error { return c.slowDown(all[i]) })
}
