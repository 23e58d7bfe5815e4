package cmd

import (
	"bytes"
	"context"
	"testing"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// overheard is a dialer that keeps what is said to the replicas behind another one.
type overheard struct {
	dialer
	said *[]*wire.Hello
	to   *[]string
}

func (d overheard) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	s, err := d.dialer.Session(ctx, repo, push)
	*d.to = append(*d.to, string(s.To))
	s.Stream = &listener{Stream: s.Stream, said: d.said}
	return s, err
}

// listener reads along with the first frame.
type listener struct {
	wire.Stream
	said  *[]*wire.Hello
	heard bool
}

func (l *listener) Write(p []byte) (int, error) {
	if !l.heard {
		l.heard = true
		open, hello := new(wire.OpenSession), new(wire.Hello)
		if err := wire.ReadFrame(bytes.NewReader(p), open, wire.HelloBytesMax); err != nil {
			return 0, err
		}
		if _, err := replica.Open(open.GetHello(), identity.DomainHello, hello); err != nil {
			return 0, err
		}
		*l.said = append(*l.said, hello)
	}
	return l.Stream.Write(p)
}

// TestHelloNamesItsReplica reads along what a real client says, by way of a node and
// without one: it is for the node alone that answers.
func TestHelloNamesItsReplica(t *testing.T) {
	ann, bob := newResident(t, "ann"), newResident(t, "bob")
	stop := ann.runs(Network{Rendezvous: "team"})
	defer stop()
	ann.must("init", "demo", "--replicas", "1")
	status, err := ann.home.Network()
	if err != nil || len(status.Peers) == 0 {
		t.Fatalf("network %+v, %v", status, err)
	}
	key, err := ann.home.Key()
	if err != nil {
		t.Fatal(err)
	}
	if err := writeJSON(bob.home.NetworkPath(), status); err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*resident{"by way of the node": ann, "without a node": bob} {
		user, err := p.home.User()
		if err != nil {
			t.Fatal(err)
		}
		var said []*wire.Hello
		var to []string
		c := &client{
			address: identity.Address{Owner: key.Public(), Name: "demo"}, user: user, pins: pins{p.home.Dir},
			dial: func(ctx context.Context) (dialer, error) {
				d, err := openDialer(ctx, p.home)
				return overheard{d, &said, &to}, err
			},
		}
		for _, intent := range []wire.Intent{wire.Intent_INTENT_FETCH, wire.Intent_INTENT_PUSH} {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			s, err := openPatiently(ctx, c, intent, patience{total: time.Minute}, func(*session) error { return nil })
			cancel()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.abort()
		}
		_ = c.Close()
		if len(said) < 2 || len(said) != len(to) {
			t.Fatalf("%s: %d hellos on %d sessions", name, len(said), len(to))
		}
		for i, h := range said {
			if string(h.GetTo()) != string(key.PeerID()) || to[i] != string(key.PeerID()) {
				t.Errorf("%s: a hello for %x on a session with %x, want %x", name, h.GetTo(), to[i], string(key.PeerID()))
			}
		}
	}
}
