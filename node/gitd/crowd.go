package gitd

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// crowd counts connections, so that nobody takes all places.
type crowd struct {
	most, each int

	mu  sync.Mutex
	all int
	of  map[netip.Addr]int
}

// enter takes a place for an address, unless it says why there is none.
func (c *crowd) enter(from netip.Addr) (full string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.all >= c.most:
		return fmt.Sprintf("this port is busy: it serves %d connections already, the most that it may; try again in a moment", c.most)
	case c.of[from] >= c.each:
		return fmt.Sprintf("this port is busy: it serves %d connections of your address already; try again in a moment", c.each)
	}
	c.all++
	c.of[from]++
	return ""
}

func (c *crowd) leave(from netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all--
	if c.of[from]--; c.of[from] == 0 {
		delete(c.of, from)
	}
}

// addressOf is whom a connection counts for: of version 6 the network, since one
// machine has as many addresses in it as it likes.
func addressOf(c net.Conn) netip.Addr {
	addr := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr
	}
	network, _ := addr.Prefix(64) // 64 bits are not too many
	return network.Addr()
}
