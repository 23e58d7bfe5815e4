package transport

import (
	"log/slog"
	"time"

	"peer/identity"
)

// Config says what a [Transport] is to be. The zero value of a field is its default.
type Config struct {
	// Key is the key of the host: the home's for a node, a fresh one for a
	// client without a node, so that it is never taken for that node.
	Key identity.Key
	// Listen holds the multiaddrs to listen on. Empty: none, for a host that
	// only dials. DefaultListen is what a node wants.
	Listen []string
	// Rendezvous names the network.
	Rendezvous string
	// Secret closes the network to those who lack it. QUIC cannot be closed,
	// so listening on it together with a secret is refused.
	Secret string
	// Bootstrap holds multiaddrs that end in /p2p/ID. They are tried until
	// one of them answers, for ever if need be.
	Bootstrap []string
	// Server hosts store records for others, provide themselves under the
	// rendezvous string, and relay when Relay is on: nodes do, clients don't.
	Server bool

	// Relay lets a host be reached, and reach others, through a third; a
	// server also offers to be that third.
	Relay bool
	// AutoNAT asks others whether this host can be dialled, and as a server
	// answers them.
	AutoNAT bool
	// HolePunch tries to replace a relayed connection by a direct one. Dials
	// then share the listening port, which it needs to succeed.
	HolePunch bool
	// MDNS finds hosts of the network on the local link, by multicast.
	MDNS bool

	// Records checks the values of the DHT. Nil: no record is stored or read.
	Records Records
	// LoadAddrs returns the address book at start. Nil: it begins empty.
	LoadAddrs func() (map[identity.PeerID][]string, error)
	// SaveAddr stores what is known of one node, replacing what was; no
	// addresses means to forget it. Calls come one at a time. Nil: not kept.
	SaveAddr func(id identity.PeerID, addrs []string) error

	// KeepAlive is how often an idle connection is probed, and WriteTimeout
	// how long a probe or a blocked write may take before the connection is
	// given up; together they bound how long a vanished host seems connected.
	// Zero: DefaultKeepAlive and DefaultWriteTimeout.
	KeepAlive, WriteTimeout time.Duration
	// StreamsPerPeer and StreamsTotal bound the streams that handlers serve
	// at once. Zero: DefaultStreamsPerPeer and DefaultStreamsTotal.
	StreamsPerPeer, StreamsTotal int

	// Logger hears of what happens. Nil: nobody does.
	Logger *slog.Logger
}

// Defaults of [Config]. A raft group has heartbeats of its own and does not
// wait for the keepalive, so these suit a WAN: a link that stalls for some
// seconds keeps its connections and a pack in flight is not lost. Closed
// sockets, the common death, are noticed at once regardless.
const (
	DefaultKeepAlive      = 5 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultStreamsPerPeer = 256
	DefaultStreamsTotal   = 2048
)

// DefaultListen is every interface, any free port; QUIC too unless the network is closed.
func DefaultListen(closed bool) []string {
	if closed {
		return []string{"/ip4/0.0.0.0/tcp/0"}
	}
	return []string{"/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1"}
}

// Records judges DHT records. Its methods run on many goroutines at once and
// must not block: strangers cause the calls.
type Records interface {
	// Validate says what is wrong with value as the record of key. It is
	// asked before a record is stored and before one is returned.
	Validate(key, value []byte) error
	// Select returns the index of the best of values, all of them valid.
	Select(key []byte, values [][]byte) (int, error)
}
