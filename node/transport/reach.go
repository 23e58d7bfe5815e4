package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// What a server does for those who cannot be dialled.
const (
	relayReservations     = 128
	relayCircuitsPerPeer  = 32
	relayReservationsByIP = 64
	relaysWanted          = 2

	relayAskEvery = 2 * time.Second // while there are too few: the answer comes from memory
	relayBackoff  = 5 * time.Minute // after a relay has refused

	relayIdentifyTime = 5 * time.Second
)

// startReach starts what makes a host reachable: relays, NAT detection, the local link.
func (t *Transport) startReach() error {
	if t.cfg.Relay && t.cfg.Server {
		if err := t.startRelay(); err != nil {
			return fmt.Errorf("start relay: %w", err)
		}
	}
	if t.cfg.Relay && len(t.cfg.Listen) > 0 {
		if err := t.startAutoRelay(); err != nil {
			return fmt.Errorf("start autorelay: %w", err)
		}
	}
	if t.cfg.AutoNAT {
		if err := t.startAutoNAT(); err != nil {
			return fmt.Errorf("start autonat: %w", err)
		}
	}
	if t.cfg.MDNS {
		s := mdns.NewMdnsService(t.host, t.names.mdns, mdnsFound{t})
		if err := s.Start(); err != nil {
			return fmt.Errorf("start mdns: %w", err)
		}
		t.parts.onClose(s.Close)
	}
	return nil
}

// startRelay carries whole connections, not libp2p's usual 128 KiB: packs go
// through them. So it serves hosts of its own network alone.
func (t *Transport) startRelay() error {
	res := relay.DefaultResources()
	res.MaxReservations = relayReservations
	res.MaxCircuits = relayCircuitsPerPeer
	res.MaxReservationsPerIP = relayReservationsByIP
	r, err := relay.New(t.host, relay.WithResources(res), relay.WithInfiniteLimits(), relay.WithACL(relayRule{t}))
	if err != nil {
		return err
	}
	t.parts.onClose(r.Close)
	return nil
}

type relayRule struct{ t *Transport }

func (r relayRule) AllowReserve(id peer.ID, _ ma.Multiaddr) bool { return r.allow(id) }

func (r relayRule) AllowConnect(src peer.ID, _ ma.Multiaddr, _ peer.ID) bool { return r.allow(src) }

// allow runs on the goroutine of the stream that asks. The host may ask before
// it has been identified, and a refusal would keep it away for minutes.
func (r relayRule) allow(id peer.ID) bool {
	ctx, cancel := context.WithTimeout(r.t.ctx, relayIdentifyTime)
	defer cancel()
	return r.t.checkNetwork(ctx, id) == nil
}

// isOurs says whether a connected host has named our network in identify.
func (t *Transport) isOurs(id peer.ID) bool {
	version, err := t.host.Peerstore().Get(id, "ProtocolVersion")
	return err == nil && version == string(t.names.prefix)
}

// startAutoRelay takes a seat at relays of the network unless others are known
// to be able to dial this host. libp2p waits for a verdict first, which on a
// network without AutoNAT never comes: so say that there is none.
func (t *Transport) startAutoRelay() error {
	r, err := autorelay.NewAutoRelay(t.host,
		autorelay.WithPeerSource(t.relayCandidates),
		autorelay.WithNumRelays(relaysWanted),
		autorelay.WithMinCandidates(1),
		autorelay.WithMinInterval(relayAskEvery),
		autorelay.WithBackoff(relayBackoff))
	if err != nil {
		return err
	}
	r.Start()
	t.parts.onClose(r.Close)
	verdict, err := t.host.EventBus().Emitter(new(event.EvtLocalReachabilityChanged), eventbus.Stateful)
	if err != nil {
		return err
	}
	t.parts.onClose(verdict.Close)
	return verdict.Emit(event.EvtLocalReachabilityChanged{Reachability: network.ReachabilityUnknown})
}

func (t *Transport) relayCandidates(_ context.Context, n int) <-chan peer.AddrInfo {
	out := make(chan peer.AddrInfo, n)
	defer close(out)
	for _, id := range t.host.Network().Peers() {
		if len(out) == n {
			break
		}
		offers, err := t.host.Peerstore().SupportsProtocols(id, proto.ProtoIDv2Hop)
		if err == nil && len(offers) > 0 && t.isOurs(id) {
			out <- t.host.Peerstore().PeerInfo(id)
		}
	}
	return out
}

func (t *Transport) startAutoNAT() error {
	opts := []autonat.Option{autonat.UsingAddresses(func() []ma.Multiaddr {
		return slices.DeleteFunc(t.host.AllAddrs(), func(a ma.Multiaddr) bool { return !manet.IsPublicAddr(a) })
	})}
	if t.cfg.Server {
		// Dialling back must not reuse the connection that asks, so it is done
		// by a second, bare host with a key of its own.
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			return err
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			return err
		}
		dialer, err := t.parts.swarm(eventbus.NewBus(), id, key)
		if err != nil {
			return err
		}
		t.parts.onClose(func() error { return errors.Join(dialer.Close(), dialer.Peerstore().Close()) })
		if _, err := t.parts.tcp(dialer, key); err != nil {
			return err
		}
		opts = append(opts, autonat.EnableService(dialer))
	}
	a, err := autonat.New(t.host, opts...)
	if err != nil {
		return err
	}
	t.host.SetAutoNat(a) // the host closes it
	return nil
}

// mdnsFound hears of hosts on the local link.
type mdnsFound struct{ t *Transport }

func (m mdnsFound) HandlePeerFound(info peer.AddrInfo) {
	if info.ID == m.t.parts.id || m.t.ctx.Err() != nil {
		return
	}
	m.t.host.Peerstore().AddAddrs(info.ID, clip(info.Addrs), peerstore.TempAddrTTL)
	m.t.keeper.heard(info.ID)
}
