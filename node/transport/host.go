package transport

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/sec"
	coretransport "github.com/libp2p/go-libp2p/core/transport"
	"github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/observedaddrs"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
	libp2pquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"github.com/quic-go/quic-go"
)

const (
	dialTimeout      = 10 * time.Second // one address, handshakes included
	dialTimeoutLocal = 5 * time.Second
	userAgent        = "peer"
)

// parts puts a host together, keeping what must be closed again. The root
// go-libp2p package would do it in one call, and link WebRTC and WebTransport.
type parts struct {
	cfg     Config
	key     crypto.PrivKey
	id      peer.ID
	psk     pnet.PSK
	bus     event.Bus
	limits  network.ResourceManager
	closers []func() error // run last to first
}

func (p *parts) onClose(f func() error) { p.closers = append(p.closers, f) }

func (p *parts) close() error {
	var errs []error
	for i := len(p.closers) - 1; i >= 0; i-- {
		errs = append(errs, p.closers[i]())
	}
	p.closers = nil
	return errors.Join(errs...)
}

func newParts(cfg Config) (*parts, error) {
	key, err := crypto.UnmarshalEd25519PrivateKey(cfg.Key.Private())
	if err != nil {
		return nil, fmt.Errorf("key of the host: %w", err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("key of the host: %w", err)
	}
	psk, err := pskOf(cfg.Secret)
	if err != nil {
		return nil, fmt.Errorf("secret: %w", err)
	}
	return &parts{cfg: cfg, key: key, id: id, psk: psk}, nil
}

// host assembles the host; it does not listen yet.
func (p *parts) host(prefix string, listen []ma.Multiaddr) (*basichost.BasicHost, error) {
	var err error
	if p.limits, err = newResourceManager(); err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	p.bus = eventbus.NewBus()
	sw, err := p.swarm(p.bus, p.id, p.key)
	if err != nil {
		p.limits.Close()
		return nil, err
	}
	p.onClose(sw.Close) // the host closes it too; this is for failures before there is one
	up, err := p.tcp(sw, p.key)
	if err != nil {
		return nil, err
	}
	if hasQUIC(listen) {
		if err := p.quic(sw); err != nil {
			return nil, fmt.Errorf("quic: %w", err)
		}
	}
	conns, err := newConnManager()
	if err != nil {
		return nil, err
	}
	opts := &basichost.HostOpts{
		EventBus:           p.bus,
		ConnManager:        conns,
		UserAgent:          userAgent,
		ProtocolVersion:    prefix,
		EnableHolePunching: p.cfg.HolePunch,
	}
	if p.cfg.HolePunch || p.cfg.AutoNAT {
		seen, err := observedaddrs.NewManager(p.bus, sw)
		if err != nil {
			return nil, err
		}
		seen.Start(sw)
		p.onClose(seen.Close)
		opts.ObservedAddrsManager = seen
	}
	h, err := basichost.NewHost(sw, opts)
	if err != nil {
		return nil, err
	}
	p.onClose(h.Close)
	if p.cfg.Relay {
		if err := client.AddTransport(h, up); err != nil {
			return nil, fmt.Errorf("relay: %w", err)
		}
	}
	return h, nil
}

func (p *parts) swarm(bus event.Bus, id peer.ID, key crypto.PrivKey) (*swarm.Swarm, error) {
	known, err := pstoremem.NewPeerstore()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(known.AddPrivKey(id, key), known.AddPubKey(id, key.GetPublic())); err != nil {
		return nil, err
	}
	return swarm.NewSwarm(id, known, bus,
		swarm.WithResourceManager(p.limits),
		swarm.WithDialTimeout(dialTimeout),
		swarm.WithDialTimeoutLocal(dialTimeoutLocal),
		swarm.WithDialRanker(rankDials))
}

// tcp adds TCP with TLS before noise: it costs a quarter less per byte.
func (p *parts) tcp(sw *swarm.Swarm, key crypto.PrivKey) (coretransport.Upgrader, error) {
	mux := *yamux.DefaultTransport
	mux.KeepAliveInterval = p.cfg.KeepAlive
	mux.ConnectionWriteTimeout = p.cfg.WriteTimeout
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: &mux}}

	tls, err := libp2ptls.New(libp2ptls.ID, key, muxers)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	noi, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return nil, fmt.Errorf("noise: %w", err)
	}
	up, err := upgrader.New([]sec.SecureTransport{tls, noi}, muxers, p.psk, p.limits, nil)
	if err != nil {
		return nil, fmt.Errorf("upgrader: %w", err)
	}
	var opts []tcp.Option
	if !p.cfg.HolePunch {
		// Two hosts that dial each other at the same instant from their listening
		// ports make one TCP connection with two clients, and the handshake
		// fails. Only hole punching is worth that.
		opts = append(opts, tcp.DisableReuseport())
	}
	t, err := tcp.NewTCPTransport(up, p.limits, nil, opts...)
	if err != nil {
		return nil, fmt.Errorf("tcp: %w", err)
	}
	return up, sw.AddTransport(t)
}

func (p *parts) quic(sw *swarm.Swarm) error {
	var reset quic.StatelessResetKey
	var token quic.TokenGeneratorKey
	for info, out := range map[string][]byte{"peer/quic-reset/1": reset[:], "peer/quic-token/1": token[:]} {
		raw, err := hkdf.Key(sha256.New, p.cfg.Key.Private().Seed(), nil, info, len(out))
		if err != nil {
			return err
		}
		copy(out, raw)
	}
	conns, err := quicreuse.NewConnManager(reset, token)
	if err != nil {
		return err
	}
	p.onClose(conns.Close)
	p.onClose(sw.Close) // before the sockets below it
	t, err := libp2pquic.NewTransport(p.key, conns, nil, nil, p.limits)
	if err != nil {
		return err
	}
	return sw.AddTransport(t)
}

// listen opens every address or none.
func listen(ctx context.Context, h *basichost.BasicHost, addrs []ma.Multiaddr) error {
	sw := h.Network().(*swarm.Swarm)
	for _, a := range addrs {
		err := checkFree(ctx, a)
		if err == nil {
			err = sw.AddListenAddr(a)
		}
		if err != nil {
			return fmt.Errorf("listen on %s: %w", a, err)
		}
	}
	return nil
}

// checkFree finds out what a socket that shares its port would not: that
// somebody else has it.
func checkFree(ctx context.Context, a ma.Multiaddr) error {
	network, hostPort, err := manet.DialArgs(a)
	if err != nil || (network != "tcp4" && network != "tcp6") {
		return nil // the listener itself will say
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, hostPort)
	if err != nil {
		return err
	}
	return l.Close()
}
