package transport

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"

	"peer/identity"
)

const (
	bookPeersMax    = 1024
	addrsPerPeerMax = 16
	bookSaveDelay   = 300 * time.Millisecond // addresses of a new host come in pieces
	heardAddrTTL    = time.Hour              // addresses that nobody has confirmed
)

// book holds the addresses of nodes that this host has really spoken to, so
// that a restart finds the network with the bootstrap nodes gone. The caller
// keeps it on disk.
type book struct {
	save func(identity.PeerID, []string) error
	log  *slog.Logger
	wake chan struct{}

	mu    sync.Mutex
	nodes map[peer.ID]*bookEntry
	dirty map[peer.ID]bool
}

type bookEntry struct {
	addrs []ma.Multiaddr
	seen  time.Time // zero: only loaded
}

func openBook(cfg Config, log *slog.Logger) (*book, error) {
	b := &book{
		save: cfg.SaveAddr, log: log, wake: make(chan struct{}, 1),
		nodes: make(map[peer.ID]*bookEntry), dirty: make(map[peer.ID]bool),
	}
	if cfg.LoadAddrs == nil {
		return b, nil
	}
	loaded, err := cfg.LoadAddrs()
	if err != nil {
		return nil, fmt.Errorf("load address book: %w", err)
	}
	self := cfg.Key.PeerID()
	for id, addrs := range loaded {
		parsed := parseAddrs(peer.ID(id), addrs)
		if id == self || len(parsed) == 0 || len(b.nodes) >= bookPeersMax {
			continue
		}
		b.nodes[peer.ID(id)] = &bookEntry{addrs: clip(parsed)}
	}
	return b, nil
}

func clip(addrs []ma.Multiaddr) []ma.Multiaddr {
	return addrs[:min(len(addrs), addrsPerPeerMax)]
}

// learn replaces what is known of a node by what it has just said of itself.
func (b *book) learn(id peer.ID, addrs []ma.Multiaddr, now time.Time) {
	addrs = clip(addrs)
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.nodes[id]
	if e == nil {
		b.makeRoom()
		e = &bookEntry{}
		b.nodes[id] = e
	}
	e.seen = now
	if slices.EqualFunc(e.addrs, addrs, ma.Multiaddr.Equal) {
		return
	}
	e.addrs = addrs
	b.touch(id)
}

// makeRoom forgets the node that was last seen longest ago.
func (b *book) makeRoom() {
	if len(b.nodes) < bookPeersMax {
		return
	}
	var oldest peer.ID
	for id, e := range b.nodes {
		if oldest == "" || e.seen.Before(b.nodes[oldest].seen) {
			oldest = id
		}
	}
	delete(b.nodes, oldest)
	b.touch(oldest)
}

func (b *book) touch(id peer.ID) {
	b.dirty[id] = true
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *book) addrs(id peer.ID) []ma.Multiaddr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if e := b.nodes[id]; e != nil {
		return slices.Clone(e.addrs)
	}
	return nil
}

func (b *book) ids() []peer.ID {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids := make([]peer.ID, 0, len(b.nodes))
	for id := range b.nodes {
		ids = append(ids, id)
	}
	return ids
}

// run saves changes a little later, and what is left when ctx ends.
func (b *book) run(ctx context.Context) {
	defer b.flush()
	for {
		select {
		case <-ctx.Done():
			return
		case <-b.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(bookSaveDelay):
		}
		b.flush()
	}
}

func (b *book) flush() {
	b.mu.Lock()
	changed := make(map[peer.ID][]string, len(b.dirty))
	for id := range b.dirty {
		changed[id] = nil
		if e := b.nodes[id]; e != nil {
			changed[id] = formatAddrs(e.addrs)
		}
	}
	clear(b.dirty)
	b.mu.Unlock()
	if b.save == nil {
		return
	}
	for id, addrs := range changed {
		if err := b.save(identity.PeerID(id), addrs); err != nil {
			b.log.Warn("address book not saved", "peer", id.String(), "error", err)
		}
	}
}

// known are all addresses at which id may be tried, besides those that
// libp2p's own peerstore still holds.
func (t *Transport) known(id peer.ID) []ma.Multiaddr {
	return append(t.book.addrs(id), t.boot[id].Addrs...)
}

// AddAddrs adds to what is known of id's addresses, for an hour or until a
// connection confirms them. Those that are no multiaddrs are skipped; a
// /p2p/ID at the end is optional.
func (t *Transport) AddAddrs(id identity.PeerID, addrs []string) {
	t.host.Peerstore().AddAddrs(peer.ID(id), clip(parseAddrs(peer.ID(id), addrs)), heardAddrTTL)
}

// KnownAddrs are the addresses at which id would be dialled.
func (t *Transport) KnownAddrs(id identity.PeerID) []string {
	return formatAddrs(ma.Unique(append(t.known(peer.ID(id)), t.host.Peerstore().Addrs(peer.ID(id))...)))
}

// watchIdentify keeps the book, and parts from hosts of other networks.
func (t *Transport) watchIdentify() error {
	sub, err := t.host.EventBus().Subscribe(new(event.EvtPeerIdentificationCompleted), eventbus.BufSize(256))
	if err != nil {
		return fmt.Errorf("watch identify: %w", err)
	}
	t.loops.Go(func() {
		defer sub.Close()
		for {
			select {
			case <-t.ctx.Done():
				return
			case e, ok := <-sub.Out():
				if !ok {
					return
				}
				t.identified(e.(event.EvtPeerIdentificationCompleted))
			}
		}
	})
	return nil
}

func (t *Transport) identified(e event.EvtPeerIdentificationCompleted) {
	if e.ProtocolVersion != string(t.names.prefix) {
		t.log.Debug("parting from a host of another network", "peer", e.Peer.String(), "version", e.ProtocolVersion)
		_ = t.host.Network().ClosePeer(e.Peer)
		return
	}
	addrs := dialable(e.ListenAddrs, e.Conn)
	if len(addrs) > 0 {
		t.book.learn(e.Peer, addrs, time.Now())
	}
	t.keeper.kick()
}

// dialable leaves out the loopback addresses of another machine, and puts the
// address that has just worked first. A host that listens nowhere has none.
func dialable(listen []ma.Multiaddr, c network.Conn) []ma.Multiaddr {
	if len(listen) == 0 {
		return nil
	}
	remote := c.RemoteMultiaddr()
	var out []ma.Multiaddr
	if c.Stat().Direction == network.DirOutbound {
		out = append(out, remote)
	}
	near := manet.IsIPLoopback(remote)
	listen = slices.Clone(listen)
	slices.SortFunc(listen, func(a, b ma.Multiaddr) int { return a.Compare(b) })
	for _, a := range listen {
		if near || !manet.IsIPLoopback(a) {
			out = append(out, a)
		}
	}
	return ma.Unique(out)
}
