package transport

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

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

	// Records checks the values of the DHT. Nil: no record is stored or read,
	// so every server of a network wants it, one that only bootstraps too.
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
	// StreamsStrangers is how many of StreamsTotal hosts may take together that are
	// not protected. Zero: DefaultStreamsStrangers, or all if that is more.
	StreamsStrangers int

	// Logger hears of what happens. Nil: nobody does.
	Logger *slog.Logger
}

// Defaults of [Config]. A raft group has heartbeats of its own and does not
// wait for the keepalive, so these suit a WAN: a link that stalls for some
// seconds keeps its connections and a pack in flight is not lost. Closed
// sockets, the common death, are noticed at once regardless.
const (
	DefaultKeepAlive        = 5 * time.Second
	DefaultWriteTimeout     = 10 * time.Second
	DefaultStreamsPerPeer   = 256
	DefaultStreamsTotal     = 2048
	DefaultStreamsStrangers = DefaultStreamsTotal / 2
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
	// Select returns the index of the best of values, all of them valid; the
	// first of equals, or a record could not be put again.
	Select(key []byte, values [][]byte) (int, error)
}

// check fills in defaults and reads what is text.
func (c *Config) check() (listen []ma.Multiaddr, boot map[peer.ID]peer.AddrInfo, err error) {
	if c.Rendezvous == "" {
		return nil, nil, errors.New("rendezvous: the network has no name")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.KeepAlive <= 0 {
		c.KeepAlive = DefaultKeepAlive
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = DefaultWriteTimeout
	}
	if c.StreamsPerPeer <= 0 {
		c.StreamsPerPeer = DefaultStreamsPerPeer
	}
	if c.StreamsTotal <= 0 {
		c.StreamsTotal = DefaultStreamsTotal
	}
	if c.StreamsStrangers <= 0 {
		c.StreamsStrangers = min(DefaultStreamsStrangers, c.StreamsTotal)
	}
	for _, s := range c.Listen {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, nil, fmt.Errorf("listen on %.200q: want a multiaddr such as /ip4/0.0.0.0/tcp/4001: %w", s, err)
		}
		if c.Secret != "" && hasQUIC([]ma.Multiaddr{a}) {
			return nil, nil, fmt.Errorf("listen on %s: QUIC cannot be closed by a secret: listen on tcp, or open the network", a)
		}
		listen = append(listen, a)
	}
	boot = make(map[peer.ID]peer.AddrInfo)
	for _, s := range c.Bootstrap {
		info, err := addrInfo(s)
		if err != nil {
			return nil, nil, fmt.Errorf("bootstrap %w", err)
		}
		info.Addrs = append(boot[info.ID].Addrs, info.Addrs...)
		boot[info.ID] = info
	}
	return listen, boot, nil
}
