package hook

import (
	"fmt"
	"net/netip"
	"syscall"
)

// PrivateError says that a receiver is at an address that is not everybody's.
type PrivateError struct{ Addr netip.Addr }

func (e *PrivateError) Error() string { return e.Addr.String() + " is no public address" }

// ipv6Public is the only part of IPv6 that is assigned to the public (RFC 4291).
var ipv6Public = netip.MustParsePrefix("2000::/3")

// special are addresses of the machine, its networks, documentation and tests
// (IANA's special-purpose registries), and groups.
var special = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16",
	"192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"2001::/23", "2001:db8::/32", "2620:4f:8000::/48", "3fff::/20",
)

// Addresses that lead to an IPv4 address within them, which is then the one that counts.
var (
	nat64  = netip.MustParsePrefix("64:ff9b::/96")
	sixTo4 = netip.MustParsePrefix("2002::/16")
)

func prefixes(list ...string) (out []netip.Prefix) {
	for _, p := range list {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

// isPublic says whether addr leads to a host that anybody may reach.
func isPublic(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	raw := addr.AsSlice()
	switch {
	case !addr.IsValid():
		return false
	case nat64.Contains(addr):
		return isPublic(netip.AddrFrom4([4]byte(raw[12:])))
	case sixTo4.Contains(addr):
		return isPublic(netip.AddrFrom4([4]byte(raw[2:6])))
	case addr.Is6() && !ipv6Public.Contains(addr):
		return false
	}
	for _, p := range special {
		if p.Contains(addr) {
			return false
		}
	}
	return true
}

// dialPublic refuses a connection to any other address, as net.Dialer's Control: a
// name has been looked up by then, and each address that it has comes here, so it
// does not help to have it mean another one the next time.
func dialPublic(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !isPublic(at.Addr()) {
		return &PrivateError{at.Addr()}
	}
	return nil
}
