package transport

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"peer/identity"
	"peer/wire"
)

// events collects what OnPeer says of one host.
type events struct {
	of  identity.PeerID
	mu  sync.Mutex
	ups []bool
	at  time.Time
}

func watch(on *Transport, of identity.PeerID) *events {
	e := &events{of: of}
	on.OnPeer(func(id identity.PeerID, up bool) {
		if id == of {
			e.mu.Lock()
			e.ups, e.at = append(e.ups, up), time.Now()
			e.mu.Unlock()
		}
	})
	return e
}

func (e *events) are(want ...bool) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return fmt.Sprint(e.ups) == fmt.Sprint(want)
	}
}

// ended holds once the host is reported as down, however often it came and went:
// it may be redialled while it closes.
func (e *events) ended() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.ups) > 0 && !e.ups[len(e.ups)-1]
}

func (e *events) last() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

func TestDisconnectAndRedial(t *testing.T) {
	a := start(t, config(t))
	cfg := config(t)
	b, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	early := watch(a, b.Self())
	meetUp(t, b, a)
	late := watch(a, b.Self())
	eventually(t, "connected is reported", early.are(true))
	eventually(t, "connected is reported to whom asks later", late.are(true))
	if err := a.Redial(t.Context(), b.Self()); err != nil {
		t.Errorf("redial of a live host: %v", err)
	}

	begin := time.Now()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "dropped is reported", early.ended)
	t.Logf("closed -> dropped: %v", early.last().Sub(begin))

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin = time.Now()
	if err := a.Redial(ctx, b.Self()); err == nil {
		t.Error("redial of a closed host succeeded")
	} else if took := time.Since(begin); took > 200*time.Millisecond {
		t.Errorf("refused only after %v: %v", took, err)
	} else {
		t.Logf("redial refused after %v", took)
	}

	// The process comes back at the same address: at once, whatever failed before.
	cfg.Listen = []string{strings.Split(a.KnownAddrs(b.Self())[0], "/p2p/")[0]}
	again := start(t, cfg)
	begin = time.Now()
	// A dial of the keeper's, begun before the port was open, may still be failing.
	eventually(t, "the restarted host answers", func() bool { return a.Connect(t.Context(), again.Self()) == nil })
	t.Logf("connected to the restarted host after %v", time.Since(begin))
	eventually(t, "connected is reported again", func() bool { return !early.ended() })
}

// shelf keeps an address book over restarts.
type shelf struct {
	mu    sync.Mutex
	books map[identity.PeerID][]string
}

func (s *shelf) use(c *Config) {
	c.LoadAddrs = func() (map[identity.PeerID][]string, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		out := make(map[identity.PeerID][]string)
		for id, addrs := range s.books {
			out[id] = addrs
		}
		return out, nil
	}
	c.SaveAddr = func(id identity.PeerID, addrs []string) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.books == nil {
			s.books = make(map[identity.PeerID][]string)
		}
		s.books[id] = addrs
		return nil
	}
}

func (s *shelf) knows(id identity.PeerID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.books[id]) > 0
}

func TestRestartWithBootstrapGone(t *testing.T) {
	boot, err := New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, config(t, bootstrap(boot)))
	var kept shelf
	cfg := config(t, bootstrap(boot), kept.use)
	b, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, "a and b find each other through the bootstrap node", func() bool { return a.IsConnected(b.Self()) })
	t.Logf("found each other after %v", time.Since(begin))
	eventually(t, "a is in b's address book", func() bool { return kept.knows(a.Self()) })
	for _, gone := range []*Transport{b, boot} {
		if err := gone.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a is alone", func() bool { return len(a.Connected()) == 0 })
	a.book.mu.Lock() // a forgets, so that only b's book can help
	clear(a.book.nodes)
	a.book.mu.Unlock()

	again := start(t, cfg)
	begin = time.Now()
	eventually(t, "b finds a by its address book", func() bool { return a.IsConnected(again.Self()) })
	t.Logf("found again after %v", time.Since(begin))
}

func TestBootstrapStartsLater(t *testing.T) {
	cfg := config(t)
	first := start(t, cfg) // only to learn a free port
	addrs := first.Addrs()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b := start(t, config(t, func(c *Config) { c.Bootstrap = addrs }))
	if err := b.Ready(t.Context()); err != nil {
		t.Errorf("ready in an empty network: %v", err)
	}
	if b.IsConnected(first.Self()) {
		t.Fatal("connected to a host that does not run")
	}
	cfg.Listen = []string{strings.Split(addrs[0], "/p2p/")[0]}
	boot := start(t, cfg)
	eventually(t, "the bootstrap node is reached", func() bool { return b.IsConnected(boot.Self()) })
}

func TestFindPeersAndOpenThroughTheDHT(t *testing.T) {
	boot := start(t, config(t))
	a := start(t, config(t, bootstrap(boot)))
	a.Handle("echo/1", echo)
	eventually(t, "a is connected", func() bool { return boot.IsConnected(a.Self()) })
	client := start(t, config(t, bootstrap(boot), func(c *Config) { c.Listen, c.Server = nil, false }))
	if len(client.Addrs()) != 0 {
		t.Errorf("a client listens on %v", client.Addrs())
	}
	if got, err := ask(t, client, a, "echo/1", "hello"); err != nil || got != "hello" {
		t.Fatalf("open to a host known only to the DHT: %q, %v", got, err)
	}
	eventually(t, "a is found under the rendezvous string", func() bool {
		found, err := client.FindPeers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range found {
			if id == a.Self() {
				return true
			}
		}
		return false
	})
	if a.book.addrs(client.parts.id) != nil {
		t.Error("a client that listens nowhere is in the address book")
	}
}

func TestOpenNetworkPrefersTCP(t *testing.T) {
	both := func(c *Config) {
		c.Listen = []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"}
		c.Relay, c.AutoNAT, c.HolePunch = true, true, true
	}
	a, b := start(t, config(t, both)), start(t, config(t, both))
	a.Handle("echo/1", echo)
	meetUp(t, a, b)
	if got := b.Addr(a.Self()); !strings.Contains(got, "/tcp/") {
		t.Errorf("dialled %s", got)
	}
	c := start(t, config(t, both))
	for _, addr := range a.Addrs() {
		if strings.Contains(addr, "quic-v1") {
			c.AddAddrs(a.Self(), []string{addr})
		}
	}
	if got, err := ask(t, c, a, "echo/1", "over quic"); err != nil || got != "over quic" {
		t.Errorf("quic: %q, %v", got, err)
	}
	if got := c.Addr(a.Self()); !strings.Contains(got, "quic-v1") {
		t.Errorf("dialled %s", got)
	}
}

func TestRelayedConnection(t *testing.T) {
	relayed := func(c *Config) { c.Relay = true }
	relay := start(t, config(t, relayed))
	a := start(t, config(t, relayed, bootstrap(relay)))
	b := start(t, config(t, relayed, clientOnly, bootstrap(relay)))
	a.Handle("echo/1", echo)
	// Nobody can dial a any more, as if a firewall stood before it.
	sw := a.host.Network().(*swarm.Swarm)
	for _, addr := range sw.ListenAddresses() {
		if !has(addr, ma.P_CIRCUIT) {
			sw.ListenClose(addr)
		}
	}
	// Loopback relays are not advertised, so the circuit is written out.
	b.AddAddrs(a.Self(), []string{relay.Addrs()[0] + "/p2p-circuit"})
	eventually(t, "a took a seat at the relay, and b reaches it there", func() bool {
		got, err := ask(t, b, a, "echo/1", "hello")
		return err == nil && got == "hello"
	})
	if got := b.Addr(a.Self()); !strings.Contains(got, "/p2p-circuit") {
		t.Errorf("reached at %s", got)
	}
	large := strings.Repeat("x", 1<<20) // eight times what libp2p's own limit lets through
	a.Handle("count/1", func(_ identity.PeerID, s wire.Stream) {
		n, _ := io.Copy(io.Discard, s)
		fmt.Fprint(s, n)
		s.Close()
	})
	if got, err := ask(t, b, a, "count/1", large); err != nil || got != "1048576" {
		t.Errorf("a megabyte through the relay: %q bytes, %v", got, err)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	all := func(c *Config) { c.Relay, c.AutoNAT, c.HolePunch = true, true, true }
	round := func() {
		a, err := New(t.Context(), config(t, all))
		if err != nil {
			t.Fatal(err)
		}
		b, err := New(t.Context(), config(t, all, bootstrap(a)))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "connected", func() bool { return a.IsConnected(b.Self()) })
		for _, x := range []*Transport{a, b} {
			if _, err := x.Join("topic", func(identity.PeerID, []byte) bool { return true }, func(identity.PeerID, []byte) {}); err != nil {
				t.Fatal(err)
			}
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	round() // what the libraries start once for the process
	before := runtime.NumGoroutine()
	round()
	eventually(t, fmt.Sprintf("no more than the %d goroutines from before", before), func() bool { return runtime.NumGoroutine() <= before })
}
