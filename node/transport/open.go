package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	"peer/identity"
	"peer/wire"
)

// ErrOtherNetwork says that the host that answered belongs to another network.
var ErrOtherNetwork = errors.New("belongs to a network with another rendezvous string")

// errHungUp is ErrOtherNetwork when the other side was quicker to see it, or any other reason to hang up.
var errHungUp = errors.New("it hung up before saying which network it belongs to")

var errSelf = errors.New("that is this host itself")

// aliveProtocol answers a byte with a byte. It is outside the stream limits,
// so that a busy host does not look like a dead one.
const (
	aliveProtocol = "alive/1"
	aliveTimeout  = 10 * time.Second
)

// Open opens a stream, dialling if there is no connection: the addresses come
// from the address book, then from the DHT. Protocol is a short name such as
// session/1. The stream outlives ctx.
//
// To a host that is known to serve the protocol nothing is sent before the
// caller writes, and no answer is waited for, so a stream that is never
// written to is never seen there. Closing it waits for the other side to agree
// on the protocol; Reset does not.
func (t *Transport) Open(ctx context.Context, to identity.PeerID, protocol string) (wire.Stream, error) {
	s, err := t.open(ctx, peer.ID(to), protocol)
	if err != nil {
		return nil, fmt.Errorf("open %s to %s: %w", protocol, to, err)
	}
	return &stream{Stream: s}, nil
}

func (t *Transport) open(ctx context.Context, to peer.ID, protocol string) (network.Stream, error) {
	if err := t.connect(ctx, to); err != nil {
		return nil, err
	}
	return t.host.NewStream(network.WithNoDial(ctx, "connected"), to, t.names.protocol(protocol))
}

// Connect makes sure that there is a connection.
func (t *Transport) Connect(ctx context.Context, to identity.PeerID) error {
	if err := t.connect(ctx, peer.ID(to)); err != nil {
		return fmt.Errorf("connect to %s: %w", to, err)
	}
	return nil
}

func (t *Transport) connect(ctx context.Context, to peer.ID) error {
	switch {
	case t.ctx.Err() != nil:
		return ErrClosed
	case to == t.parts.id:
		return errSelf
	case t.host.Network().Connectedness(to) == network.Connected:
		return nil
	}
	err := t.dial(ctx, to)
	if err == nil || ctx.Err() != nil || isForeign(err) || !t.found.may(to, time.Now()) {
		return err
	}
	if t.Ready(ctx) != nil {
		return err
	}
	if t.host.Network().Connectedness(to) == network.Connected {
		return nil // it came to us meanwhile
	}
	info, findErr := t.dht.FindPeer(ctx, to)
	if findErr != nil || len(info.Addrs) == 0 {
		return err
	}
	t.host.Peerstore().AddAddrs(to, info.Addrs, peerstore.TempAddrTTL)
	return t.dial(ctx, to)
}

func isForeign(err error) bool { return errors.Is(err, ErrOtherNetwork) || errors.Is(err, errHungUp) }

// dial dials the known addresses at once, whatever came of the last attempt:
// libp2p would refuse for seconds after a failure, and a node that restarts
// is back sooner. Whoever dials in a loop paces it.
func (t *Transport) dial(ctx context.Context, to peer.ID) error {
	t.host.Peerstore().AddAddrs(to, t.known(to), peerstore.TempAddrTTL)
	t.host.Network().(*swarm.Swarm).Backoff().Clear(to)
	if err := t.host.Connect(ctx, peer.AddrInfo{ID: to}); err != nil {
		if errors.Is(err, swarm.ErrNoAddresses) {
			return errors.New("no address of it is known")
		}
		return err
	}
	return t.checkNetwork(ctx, to)
}

// checkNetwork waits until the other side has said which network it is of. The
// connection may be a moment old and not of our making.
func (t *Transport) checkNetwork(ctx context.Context, to peer.ID) error {
	for _, c := range t.host.Network().ConnsToPeer(to) {
		select {
		case <-t.host.IDService().IdentifyWait(c):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch version, err := t.host.Peerstore().Get(to, "ProtocolVersion"); {
	case err != nil:
		return errHungUp
	case version != string(t.names.prefix):
		return ErrOtherNetwork
	}
	return nil
}

// Redial asks anew whether a process answers as to: over the connection if
// there is one, otherwise by an immediate dial of its known addresses, with no
// backoff and no search. An error means refused or unanswered until ctx ended.
func (t *Transport) Redial(ctx context.Context, to identity.PeerID) error {
	id := peer.ID(to)
	switch {
	case t.ctx.Err() != nil:
		return ErrClosed
	case id == t.parts.id:
		return errSelf
	}
	if t.connected(id) {
		err := t.askAlive(ctx, id)
		if err == nil || ctx.Err() != nil {
			return wrapRedial(to, err)
		}
		// The connection died under the question: only a dial can tell.
	}
	t.host.Peerstore().AddAddrs(id, t.known(id), peerstore.TempAddrTTL)
	sw := t.host.Network().(*swarm.Swarm)
	sw.Backoff().Clear(id)
	begin := time.Now()
	c, err := sw.DialPeer(ctx, id)
	if err == nil && c.Stat().Opened.Before(begin) {
		err = t.askAlive(ctx, id) // it was there before, so it proves nothing
	}
	return wrapRedial(to, err)
}

func wrapRedial(to identity.PeerID, err error) error {
	if err != nil {
		return fmt.Errorf("redial %s: %w", to, err)
	}
	return nil
}

func (t *Transport) askAlive(ctx context.Context, id peer.ID) error {
	s, err := t.host.NewStream(network.WithNoDial(ctx, "redial"), id, t.names.protocol(aliveProtocol))
	if err != nil {
		return err
	}
	defer func() { _ = s.Reset() }()
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	if _, err := s.Write([]byte{1}); err != nil {
		return err
	}
	_, err = s.Read(make([]byte, 1))
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func answerAlive(s network.Stream) {
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(aliveTimeout))
	var b [1]byte
	if _, err := s.Read(b[:]); err != nil {
		_ = s.Reset()
		return
	}
	_, _ = s.Write(b[:])
}
