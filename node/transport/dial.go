package transport

import (
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Delays between dials to one host; a dial that fails brings the next forward.
const (
	nextDelay  = 100 * time.Millisecond
	quicDelay  = 500 * time.Millisecond // after the TCP dials: a TCP handshake over a slow link must win
	relayDelay = 500 * time.Millisecond // after all direct ones
)

// rankDials orders dials: loopback, private and public TCP, then QUIC, then
// relays. libp2p's own order puts QUIC first, where the death of a process
// goes unnoticed for half a minute.
func rankDials(addrs []ma.Multiaddr) []network.AddrDelay {
	var streams, quics, relays []ma.Multiaddr
	for _, a := range addrs {
		switch {
		case has(a, ma.P_CIRCUIT):
			relays = append(relays, a)
		case has(a, ma.P_QUIC_V1):
			quics = append(quics, a)
		default:
			streams = append(streams, a)
		}
	}
	var ranked []network.AddrDelay
	var at time.Duration
	for _, group := range []struct {
		addrs  []ma.Multiaddr
		before time.Duration
	}{{streams, 0}, {quics, quicDelay}, {relays, relayDelay}} {
		if len(group.addrs) == 0 {
			continue
		}
		if len(ranked) > 0 {
			at += group.before
		}
		sortByReach(group.addrs, false)
		for i, a := range group.addrs {
			if i > 0 {
				at += nextDelay
			}
			ranked = append(ranked, network.AddrDelay{Addr: a, Delay: at})
		}
	}
	return ranked
}

func has(a ma.Multiaddr, code int) bool {
	_, err := a.ValueForProtocol(code)
	return err == nil
}

func hasQUIC(addrs []ma.Multiaddr) bool {
	for _, a := range addrs {
		if has(a, ma.P_QUIC_V1) {
			return true
		}
	}
	return false
}

// reach says from how far away an address can be dialled.
func reach(a ma.Multiaddr) int {
	switch {
	case manet.IsIPLoopback(a):
		return 0
	case manet.IsPrivateAddr(a):
		return 1
	default:
		return 2
	}
}
