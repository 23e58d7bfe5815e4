package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/gitd"
	"peer/node/hook"
	"peer/node/store"
	"peer/node/transport"
)

// nodeParts is a node with all it runs on, in the order in which they were
// opened; Close goes the other way.
type nodeParts struct {
	home      *Home
	store     *store.Store
	transport *transport.Transport
	node      *node.Node   // nil on a bootstrap node
	git       *gitd.Server // nil unless it listens
	http      *gitd.HTTPServer
	hooks     *hook.Keeper // nil on a bootstrap node
	control   *control.Server
	door      *door
	mirrors   *mirrorKeeper // nil until it serves
	network   Network

	closing sync.Once
	closed  chan struct{}
	err     error
	work    sync.WaitGroup
}

// saveNetworkEvery is how often the addresses of connected nodes are written
// where clients without a node find them.
const saveNetworkEvery = 15 * time.Second

const gcPercent = 50

// startNode builds the parts of a node, starts them, and serves the control
// API. It returns when the node serves; ctx bounds the start only.
func startNode(ctx context.Context, cfg NodeConfig) (running, error) {
	if os.Getenv("GOGC") == "" {
		// The database's write buffers are half of a node's heap and never
		// garbage; collecting later than this only makes the node larger.
		debug.SetGCPercent(gcPercent)
	}
	if _, err := git.InstalledVersion(ctx); err != nil && !cfg.Bootstrap {
		return nil, err
	}
	p := &nodeParts{
		home: cfg.Home, closed: make(chan struct{}),
		network: Network{Rendezvous: cfg.Rendezvous, Secret: cfg.Secret, Peers: cfg.Peers},
	}
	if err := p.open(ctx, cfg); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.work.Go(p.watch)
	return p, nil
}

func (p *nodeParts) open(ctx context.Context, cfg NodeConfig) (err error) {
	if err := git.MkdirAll(cfg.ReposDir, 0o700); err != nil {
		return err
	}
	if p.store, err = store.Open(store.Options{Dir: cfg.Home.StorePath(), Logger: cfg.Log}); err != nil {
		return err
	}
	listen := cfg.Listen
	if len(listen) == 0 {
		listen = transport.DefaultListen(cfg.Secret != "")
	}
	book := addressBook{p.store}
	p.transport, err = transport.New(context.WithoutCancel(ctx), transport.Config{
		Key: cfg.Key, Listen: listen, Rendezvous: cfg.Rendezvous, Secret: cfg.Secret,
		Bootstrap: cfg.Peers, Server: true, Relay: cfg.Relay, AutoNAT: cfg.NAT, HolePunch: cfg.NAT, MDNS: cfg.MDNS,
		Records: hintRecords{}, LoadAddrs: book.load, SaveAddr: book.save, Logger: cfg.Log,
	})
	if err != nil {
		return err
	}
	p.door = newDoor(cfg, p)
	if err := p.door.look(context.WithoutCancel(ctx)); err != nil {
		cfg.Log.Warn("the door for guests stays closed", "error", err)
	}
	backend := &backend{repoBackend: repoBackend{home: cfg.Home}, cfg: cfg, parts: p}
	if !cfg.Bootstrap {
		p.node, err = node.Open(ctx, node.Config{
			Key: cfg.Key, User: cfg.User, ReposDir: cfg.ReposDir, Network: p.transport, Store: p.store, Logger: cfg.Log,
			Closed: cfg.Secret != "", Hosts: cfg.Accept.hosts(), RoomBytes: cfg.RoomBytes, RepoBytesMax: cfg.RepoBytesMax,
			Version: Version(), Admit: receiptsOf(cfg.Home.Dir).admit, Fail: failAt(os.Getenv("PEER_FAIL_AT")),
			Stay: cfg.Stay, LogKeep: logKeep(os.Getenv("PEER_LOG_KEEP")), RepairEvery: duration(os.Getenv("PEER_REPAIR_EVERY")),
			GCGrace: duration(os.Getenv("PEER_GC_GRACE")), MaintainEvery: duration(os.Getenv("PEER_MAINTAIN_EVERY")),
		})
		if err != nil {
			return err
		}
		backend.client = p.node.Client
	}
	if p.node != nil {
		p.hooks, err = hook.Open(hook.Config{Store: p.store, Source: hookSource{p.node}, Log: cfg.Log, UserAgent: "peer-hook/" + Version()})
		if err != nil {
			return err
		}
	}
	if err := serveGit(context.WithoutCancel(ctx), cfg, p, backend); err != nil {
		return err
	}
	p.control, err = control.Serve(context.WithoutCancel(ctx), control.Options{
		SocketPath: cfg.Home.SocketPath(), TCPAddr: cfg.GRPCAddr, TokenPath: cfg.Home.TokenPath(),
		Backend: backend, Logger: cfg.Log,
	})
	if err == nil && p.node != nil {
		p.mirrors = keepMirrors(cfg.Home, cfg.Log, p.node.WatchCommits)
	}
	return err
}

// watch keeps the home's network file up to date, and ends the parts when the
// node has stopped by itself.
func (p *nodeParts) watch() {
	ticker := time.NewTicker(saveNetworkEvery)
	defer ticker.Stop()
	var stopped <-chan struct{}
	if p.node != nil {
		stopped = p.node.Done()
	}
	for {
		p.saveNetwork()
		if err := p.door.look(context.Background()); err != nil {
			p.door.cfg.Log.Warn("the door for guests", "error", err)
		}
		select {
		case <-ticker.C:
		case <-stopped:
			go func() { _ = p.Close() }() // Close waits for this goroutine
			return
		case <-p.closed:
			return
		}
	}
}

func (p *nodeParts) saveNetwork() {
	n := p.network
	var now []string
	for _, id := range p.transport.Connected() {
		now = append(now, dialable(p.transport.KnownAddrs(id), id)...)
	}
	n.Peers = append(now, n.Peers...)
	// Its own address too: a client may come while only this node runs.
	n.Peers = append(n.Peers, p.transport.Addrs()...)
	_ = n.Save(p.home.NetworkPath()) // a client without a node then asks for --peer
}

// dialable spells addresses so that they say whom they lead to.
func dialable(addrs []string, id identity.PeerID) []string {
	suffix := "/p2p/" + id.String()
	var out []string
	for _, a := range addrs {
		if len(a) < len(suffix) || a[len(a)-len(suffix):] != suffix {
			a += suffix
		}
		out = append(out, a)
	}
	return out
}

// Wait implements [running].
func (p *nodeParts) Wait() error {
	<-p.closed
	return p.err
}

// Close implements [running].
func (p *nodeParts) Close() error {
	p.closing.Do(func() {
		if p.mirrors != nil {
			p.err = errors.Join(p.err, p.mirrors.Close())
		}
		if p.control != nil {
			p.err = errors.Join(p.err, p.control.Close())
		}
		if p.git != nil {
			p.err = errors.Join(p.err, p.git.Close())
		}
		if p.http != nil {
			p.err = errors.Join(p.err, p.http.Close())
		}
		if p.hooks != nil {
			p.err = errors.Join(p.err, p.hooks.Close())
		}
		if p.door != nil {
			p.err = errors.Join(p.err, p.door.Close())
		}
		if p.transport != nil && p.node != nil {
			p.saveNetwork()
		}
		if p.node != nil {
			p.err = errors.Join(p.err, p.node.Close())
		}
		if p.transport != nil {
			p.err = errors.Join(p.err, p.transport.Close())
		}
		if p.store != nil {
			p.err = errors.Join(p.err, p.store.Close())
		}
		close(p.closed)
		p.work.Wait()
	})
	return p.err
}

// addressBook keeps what the transport knows of other nodes in the store, so
// that a node that restarts finds its network with the bootstrap node gone.
type addressBook struct{ store *store.Store }

const addressKey = "addr/"

func (b addressBook) load() (map[identity.PeerID][]string, error) {
	book := map[identity.PeerID][]string{}
	err := b.store.Scan(addressKey, func(key string, value []byte) error {
		id, err := identity.ParsePeerID(key[len(addressKey):])
		if err != nil {
			return nil // an entry we can't read is one address less
		}
		book[id] = splitLines(value)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load addresses: %w", err)
	}
	return book, nil
}

func (b addressBook) save(id identity.PeerID, addrs []string) error {
	if len(addrs) == 0 {
		return b.store.Delete(addressKey + id.String())
	}
	return b.store.Put(addressKey+id.String(), joinLines(addrs))
}

// hintRecords judges the DHT's records as the node does.
type hintRecords struct{}

func (hintRecords) Validate(key, value []byte) error {
	repo, err := identity.RepoIDFromBytes(key)
	if err != nil {
		return err
	}
	_, err = node.CheckHint(repo, value, time.Now())
	return err
}

func (hintRecords) Select(key []byte, values [][]byte) (int, error) {
	repo, err := identity.RepoIDFromBytes(key)
	if err != nil {
		return 0, err
	}
	return node.SelectHint(repo, values, time.Now())
}
