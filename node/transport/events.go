package transport

import (
	"context"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"peer/identity"
)

// peerEvents turns libp2p's notifications, which come on its own goroutines
// and must not block, into ordered calls. What is pending is one mark per
// host, so a slow listener costs no memory; a host that left and came back
// while it was busy is reported as both.
type peerEvents struct {
	net  network.Network
	wake chan struct{}

	mu        sync.Mutex
	listeners []*listener
	pending   map[peer.ID]change
	order     []peer.ID
}

// listener remembers which hosts it believes to be connected.
type listener struct {
	call func(identity.PeerID, bool)
	up   map[peer.ID]bool // touched by run alone
}

// change remembers that the last connection was gone at some time.
type change struct{ dropped bool }

func newPeerEvents(net network.Network) *peerEvents {
	e := &peerEvents{net: net, wake: make(chan struct{}, 1), pending: make(map[peer.ID]change)}
	net.Notify(&network.NotifyBundle{
		ConnectedF: func(n network.Network, c network.Conn) { e.mark(c.RemotePeer(), false) },
		DisconnectedF: func(n network.Network, c network.Conn) {
			e.mark(c.RemotePeer(), n.Connectedness(c.RemotePeer()) == network.NotConnected)
		},
	})
	return e
}

func (e *peerEvents) mark(id peer.ID, dropped bool) {
	e.mu.Lock()
	c, known := e.pending[id]
	if !known {
		e.order = append(e.order, id)
	}
	e.pending[id] = change{c.dropped || dropped}
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// add has f called from now on, beginning with the hosts that are connected.
func (e *peerEvents) add(f func(identity.PeerID, bool)) {
	e.mu.Lock()
	e.listeners = append(e.listeners, &listener{call: f, up: make(map[peer.ID]bool)})
	e.mu.Unlock()
	for _, id := range e.net.Peers() {
		e.mark(id, false)
	}
}

func (e *peerEvents) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for e.reportOne() {
		}
	}
}

// reportOne takes one pending host and tells every listener what it missed.
func (e *peerEvents) reportOne() bool {
	e.mu.Lock()
	if len(e.order) == 0 {
		e.mu.Unlock()
		return false
	}
	id := e.order[0]
	e.order = e.order[1:]
	dropped := e.pending[id].dropped
	delete(e.pending, id)
	listeners := e.listeners
	e.mu.Unlock()

	up := e.net.Connectedness(id) != network.NotConnected
	for _, l := range listeners {
		if l.up[id] && (dropped || !up) {
			delete(l.up, id)
			l.call(identity.PeerID(id), false)
		}
		if up && !l.up[id] {
			l.up[id] = true
			l.call(identity.PeerID(id), true)
		}
	}
	return true
}
