package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/basic"
	ma "github.com/multiformats/go-multiaddr"

	"peer/identity"
)

// ErrClosed is the cause of everything that [Transport.Close] ended.
var ErrClosed = errors.New("transport closed")

// closeTimeout is how long Close waits. Whoever has not returned by then is
// named in its error.
const closeTimeout = 1500 * time.Millisecond

// Transport is a libp2p host of one network. Its methods may be called from
// any goroutine; after Close they fail.
type Transport struct {
	cfg   Config
	log   *slog.Logger
	names names
	parts *parts
	host  *basichost.BasicHost
	dht   *dht.IpfsDHT
	boot  map[peer.ID]peer.AddrInfo // bootstrap nodes, this host excepted

	book    *book
	peers   *peerEvents
	streams *streamLimits
	keeper  *keeper
	found   *searches
	gossip  gossip

	ctx    context.Context
	cancel context.CancelCauseFunc
	loops  sync.WaitGroup

	closeOnce sync.Once
	closeErr  error
}

// New starts a host: it listens, and begins to look for its network in the
// background. A network that nobody answers for is no error.
func New(ctx context.Context, cfg Config) (*Transport, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	addrs, boot, err := cfg.check()
	if err != nil {
		return nil, err
	}
	setLibraryLog(cfg.Logger)
	parts, err := newParts(cfg)
	if err != nil {
		return nil, err
	}
	t := &Transport{
		cfg: cfg, log: cfg.Logger, parts: parts, boot: boot,
		streams: newStreamLimits(cfg.StreamsPerPeer, cfg.StreamsStrangers, cfg.StreamsTotal),
		found:   newSearches(),
	}
	delete(t.boot, parts.id)
	t.ctx, t.cancel = context.WithCancelCause(context.Background())
	if err := t.start(addrs); err != nil {
		t.cancel(err)
		t.loops.Wait()
		return nil, errors.Join(err, parts.close())
	}
	return t, nil
}

func (t *Transport) start(addrs []ma.Multiaddr) error {
	var err error
	if t.names, err = namesOf(t.cfg.Rendezvous); err != nil {
		return err
	}
	if t.host, err = t.parts.host(string(t.names.prefix), addrs); err != nil {
		return fmt.Errorf("start host: %w", err)
	}
	if t.book, err = openBook(t.cfg, t.log); err != nil {
		return err
	}
	t.peers = newPeerEvents(t.host.Network())
	t.keeper = newKeeper(t)
	t.host.SetStreamHandler(t.names.protocol(aliveProtocol), answerAlive)
	if err := t.watchIdentify(); err != nil {
		return err
	}
	if err := listen(t.ctx, t.host, addrs); err != nil {
		return err
	}
	t.host.Start()
	// NB: only now. The DHT dials at once, and in a host that was never started,
	// as when a port is taken, such a dial never returns, nor then would close.
	if err := t.startDHT(); err != nil {
		return fmt.Errorf("start dht: %w", err)
	}
	if err := t.startReach(); err != nil {
		return err
	}
	t.loops.Go(func() { t.book.run(t.ctx) })
	t.loops.Go(func() { t.peers.run(t.ctx) })
	t.loops.Go(func() { t.keeper.run(t.ctx) })
	t.loops.Go(func() { t.meet(t.ctx) })
	return nil
}

// Close ends all streams and connections, and waits, two seconds at most, for
// the handlers and callbacks to return.
func (t *Transport) Close() error {
	t.closeOnce.Do(func() {
		t.gossip.mu.Lock() // no topic is joined past this point
		t.cancel(ErrClosed)
		t.gossip.mu.Unlock()
		done := make(chan error, 1)
		go func() {
			err := t.parts.close()
			t.streams.wait()
			t.loops.Wait()
			done <- err
		}()
		select {
		case t.closeErr = <-done:
		case <-time.After(closeTimeout):
			t.closeErr = fmt.Errorf("close transport: not all has ended in time, %d stream handlers still run", t.streams.running())
		}
	})
	return t.closeErr
}

// Self is the host's own ID.
func (t *Transport) Self() identity.PeerID { return identity.PeerID(t.parts.id) }

// Addrs are the multiaddrs, each ending in /p2p/ID, that others may dial; the
// most widely reachable first.
func (t *Transport) Addrs() []string {
	if t.ctx.Err() != nil {
		return nil
	}
	addrs := t.host.Addrs()
	if len(addrs) == 0 {
		return nil
	}
	sortByReach(addrs, true)
	full, err := peer.AddrInfoToP2pAddrs(&peer.AddrInfo{ID: t.parts.id, Addrs: addrs})
	if err != nil {
		return nil
	}
	return formatAddrs(full)
}

func sortByReach(addrs []ma.Multiaddr, farFirst bool) {
	sort.SliceStable(addrs, func(i, j int) bool {
		if farFirst {
			i, j = j, i
		}
		return reach(addrs[i]) < reach(addrs[j])
	})
}

// Connected lists the hosts to which there is a connection.
func (t *Transport) Connected() []identity.PeerID {
	ids := t.host.Network().Peers()
	out := make([]identity.PeerID, len(ids))
	for i, id := range ids {
		out[i] = identity.PeerID(id)
	}
	return out
}

// IsConnected says whether there is a connection to id. It is no sign of life.
func (t *Transport) IsConnected(id identity.PeerID) bool { return t.connected(peer.ID(id)) }

func (t *Transport) connected(id peer.ID) bool {
	for _, c := range t.host.Network().ConnsToPeer(id) {
		if !c.IsClosed() {
			return true
		}
	}
	return false
}

// Addr is the remote multiaddr of a connection to id; empty without one.
func (t *Transport) Addr(id identity.PeerID) string {
	for _, c := range t.host.Network().ConnsToPeer(peer.ID(id)) {
		if !c.IsClosed() {
			return c.RemoteMultiaddr().String()
		}
	}
	return ""
}

// protectedTag marks in the connection manager whom the caller protects.
const protectedTag = "caller"

// Protect keeps the connection to id, and places for its streams, when there are
// too many, or no longer.
func (t *Transport) Protect(id identity.PeerID, keep bool) {
	if keep {
		t.host.ConnManager().Protect(peer.ID(id), protectedTag)
	} else {
		t.host.ConnManager().Unprotect(peer.ID(id), protectedTag)
	}
}

func (t *Transport) isProtected(id peer.ID) bool {
	return t.host.ConnManager().IsProtected(id, protectedTag)
}

// OnPeer has f called when the first connection to a host is made and when
// the last one is gone. Calls come one at a time, in order for each host; f
// must return soon.
func (t *Transport) OnPeer(f func(id identity.PeerID, connected bool)) { t.peers.add(f) }
