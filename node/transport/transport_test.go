package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

// config is a node on loopback: TCP, any port, no multicast.
func config(t testing.TB, change ...func(*Config)) Config {
	t.Helper()
	key, err := identity.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Rendezvous: "test " + t.Name(), Server: true}
	if os.Getenv("TRANSPORT_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

func start(t testing.TB, cfg Config) *Transport {
	t.Helper()
	tr, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		begin := time.Now()
		if err := tr.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("close took %v", took)
		}
	})
	return tr
}

func bootstrap(nodes ...*Transport) func(*Config) {
	return func(c *Config) {
		for _, n := range nodes {
			c.Bootstrap = append(c.Bootstrap, n.Addrs()...)
		}
	}
}

// eventually polls what until it holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func meetUp(t testing.TB, a, b *Transport) {
	t.Helper()
	b.AddAddrs(a.Self(), a.Addrs())
	if err := b.Connect(t.Context(), a.Self()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both see the connection", func() bool { return a.IsConnected(b.Self()) && b.IsConnected(a.Self()) })
}

func echo(_ identity.PeerID, s wire.Stream) {
	_, _ = io.Copy(s, s)
	s.Close()
}

func ask(t testing.TB, from, to *Transport, protocol, text string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	s, err := from.Open(ctx, to.Self(), protocol)
	if err != nil {
		return "", err
	}
	defer s.Close()
	_ = s.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(s, text); err != nil {
		return "", err
	}
	if err := s.CloseWrite(); err != nil {
		return "", err
	}
	raw, err := io.ReadAll(s)
	return string(raw), err
}

func TestOpenAndHandle(t *testing.T) {
	a := start(t, config(t))
	b := start(t, config(t, bootstrap(a)))
	from := make(chan identity.PeerID, 16)
	a.Handle("echo/1", func(id identity.PeerID, s wire.Stream) {
		from <- id
		echo(id, s)
	})
	for range 3 { // negotiated, then lazily
		got, err := ask(t, b, a, "echo/1", "hello")
		if err != nil || got != "hello" {
			t.Fatalf("echo: %q, %v", got, err)
		}
		if id := <-from; id != b.Self() {
			t.Fatalf("from %s, want %s", id, b.Self())
		}
	}
	if _, err := ask(t, b, a, "nobody/1", "hello"); err == nil {
		t.Error("a protocol that nobody serves was opened and answered")
	}
	if _, err := a.Open(t.Context(), a.Self(), "echo/1"); !errors.Is(err, errSelf) {
		t.Errorf("open to self: %v", err)
	}
	if got := b.Addr(a.Self()); !strings.Contains(got, "/ip4/127.0.0.1/tcp/") {
		t.Errorf("addr of a: %q", got)
	}
}

func TestRefusesBadConfig(t *testing.T) {
	busy := start(t, config(t))
	where := strings.Split(busy.Addrs()[0], "/p2p/")[0]
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"no rendezvous":      {func(c *Config) { c.Rendezvous = "" }, []string{"rendezvous"}},
		"bad listen":         {func(c *Config) { c.Listen = []string{"0.0.0.0:4001"} }, []string{`"0.0.0.0:4001"`, "/ip4/"}},
		"quic with a secret": {func(c *Config) { c.Secret, c.Listen = "s", DefaultListen(false) }, []string{"quic-v1", "secret"}},
		"bad bootstrap":      {func(c *Config) { c.Bootstrap = []string{"/ip4/127.0.0.1/tcp/1"} }, []string{"bootstrap", "/p2p/"}},
		"address in use":     {func(c *Config) { c.Listen = []string{where} }, []string{where, "in use"}},
		"in use, reused port": {func(c *Config) { c.Listen, c.HolePunch = []string{where}, true },
			[]string{where, "in use"}},
		"book does not load": {func(c *Config) {
			c.LoadAddrs = func() (map[identity.PeerID][]string, error) { return nil, errors.New("torn page") }
		}, []string{"address book", "torn page"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr, err := New(t.Context(), config(t, c.change))
			if err == nil {
				tr.Close()
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

// TestAddressInUseBesideANetwork has others answer before the address is found
// to be taken: what has begun to dial must not keep the host from being closed.
func TestAddressInUseBesideANetwork(t *testing.T) {
	busy := start(t, config(t))
	for _, taken := range []string{strings.Split(busy.Addrs()[0], "/p2p/")[0], busyUDP(t)} {
		cfg := config(t, bootstrap(busy))
		cfg.Listen = append(slices.Repeat(cfg.Listen, 300), taken) // time for a dial
		ended := make(chan error, 1)
		go func() {
			tr, err := New(context.WithoutCancel(t.Context()), cfg)
			if err == nil {
				err = errors.Join(errors.New("accepted"), tr.Close())
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), taken) {
				t.Errorf("%s: %v", taken, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: neither refused nor accepted", taken)
		}
	}
}

func busyUDP(t *testing.T) string {
	t.Helper()
	c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return fmt.Sprintf("/ip4/127.0.0.1/udp/%d/quic-v1", c.LocalAddr().(*net.UDPAddr).Port)
}

func TestSecretClosesTheNetwork(t *testing.T) {
	secret := func(s string) func(*Config) { return func(c *Config) { c.Secret = s } }
	a := start(t, config(t, secret("open sesame")))
	a.Handle("echo/1", echo)
	for _, c := range []struct {
		secret string
		in     bool
	}{{"open sesame", true}, {"open barley", false}, {"", false}} {
		b := start(t, config(t, secret(c.secret)))
		b.AddAddrs(a.Self(), a.Addrs())
		if !c.in {
			// The other side sees noise, and waits for it to make sense.
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if err := b.Connect(ctx, a.Self()); err == nil {
				t.Errorf("secret %q: connected", c.secret)
			}
		} else if got, err := ask(t, b, a, "echo/1", "hello"); err != nil || got != "hello" {
			t.Errorf("secret %q: %q, %v", c.secret, got, err)
		}
		if !c.in && b.IsConnected(a.Self()) {
			t.Errorf("secret %q: connected", c.secret)
		}
	}
}

func TestPartsFromOtherNetworks(t *testing.T) {
	a := start(t, config(t))
	b := start(t, config(t, func(c *Config) { c.Rendezvous = "another" }))
	a.Handle("echo/1", echo)
	b.AddAddrs(a.Self(), a.Addrs())
	if err := b.Connect(t.Context(), a.Self()); !isForeign(err) {
		t.Errorf("connect to another network: %v", err)
	}
	eventually(t, "both have parted", func() bool { return !b.IsConnected(a.Self()) && !a.IsConnected(b.Self()) })
	if len(a.KnownAddrs(b.Self())) != 0 && len(a.book.ids()) != 0 {
		t.Error("a host of another network is in the address book")
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
