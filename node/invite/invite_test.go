package invite

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

// memory is a store.
type memory map[string][]byte

func (m memory) Get(key string) ([]byte, bool, error) { v, ok := m[key]; return v, ok, nil }
func (m memory) Put(key string, value []byte) error   { m[key] = value; return nil }
func (m memory) Delete(key string) error              { delete(m, key); return nil }
func (m memory) Scan(prefix string, f func(string, []byte) error) error {
	for key, value := range m {
		if strings.HasPrefix(key, prefix) {
			if err := f(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func guest(n byte) identity.PeerID { return identity.KeyFromSeed([32]byte{n}).PeerID() }

// house is a keeper with a clock that the test moves.
func house() (*Keeper, memory, *time.Time) {
	now, store := time.Unix(1_800_000_000, 0), memory{}
	return NewKeeper(store, func() time.Time { return now }), store, &now
}

func invited(t *testing.T, k *Keeper, ttl time.Duration, uses int) Token {
	t.Helper()
	token, err := k.Invite(ttl, uses, "", guest(1), []string{"/ip4/127.0.0.1/tcp/4002/p2p/" + guest(1).String()})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// refused says why a guest was not let in; empty if it was.
func refused(t *testing.T, k *Keeper, secret []byte, who identity.PeerID) string {
	t.Helper()
	_, err := k.Admit(secret, who)
	why := new(RefusedError)
	if err != nil && !errors.As(err, &why) {
		t.Fatal(err)
	}
	return why.Why
}

func TestAdmit(t *testing.T) {
	k, store, now := house()
	once, twice, brief := invited(t, k, time.Hour, 1), invited(t, k, time.Hour, 2), invited(t, k, time.Minute, 1)
	for _, c := range []struct {
		name   string
		secret []byte
		who    identity.PeerID
		after  time.Duration
		want   string // in the refusal; empty: let in
	}{
		{"a guest", once.Secret, guest(2), 0, ""},
		{"the same one, who did not hear", once.Secret, guest(2), 0, ""},
		{"another one", once.Secret, guest(3), 0, "used already"},
		{"no secret", nil, guest(3), 0, "no such invitation"},
		{"a made-up secret", make([]byte, secretBytes), guest(3), 0, "no such invitation"},
		{"the first of two", twice.Secret, guest(2), 0, ""},
		{"the second of two", twice.Secret, guest(3), 0, ""},
		{"the third of two", twice.Secret, guest(4), 0, "used already"},
		{"in time", brief.Secret, guest(4), 59 * time.Second, ""},
		{"too late, even one who came before", brief.Secret, guest(4), time.Second, "ended at"},
		{"long after", once.Secret, guest(2), 30 * time.Hour, "ended at"},
	} {
		*now = now.Add(c.after)
		got := refused(t, NewKeeper(store, k.now), c.secret, c.who) // as after a restart
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if all, err := k.List(); err != nil || len(all) != 0 || len(store) != 0 {
		t.Errorf("what ended long ago is still there: %v, %v", all, err)
	}
	if why := refused(t, k, once.Secret, guest(2)); !strings.Contains(why, "no such") {
		t.Error(why)
	}
}

func TestWithdraw(t *testing.T) {
	k, store, _ := house()
	one, other := invited(t, k, time.Hour, 1), invited(t, k, time.Hour, 1)
	for _, id := range []string{"", "x", "invite/"} {
		if found, err := k.Withdraw(id); found || err != nil {
			t.Errorf("%q: %v, %v", id, found, err)
		}
	}
	if found, err := k.Withdraw(one.ID()); !found || err != nil {
		t.Fatal(found, err)
	}
	if why := refused(t, k, one.Secret, guest(2)); !strings.Contains(why, "withdrawn") {
		t.Errorf("a withdrawn one: %q", why)
	}
	if out, err := k.Outstanding(); !out || err != nil {
		t.Errorf("the other one is out: %v, %v", out, err)
	}
	if why := refused(t, k, other.Secret, guest(2)); why != "" {
		t.Error(why)
	}
	if out, err := k.Outstanding(); out || err != nil {
		t.Errorf("all are used: %v, %v", out, err)
	}
	for key, value := range store { // whoever reads the disk can't come in
		if strings.Contains(key+string(value), string(other.Secret)) {
			t.Error("the secret itself is kept")
		}
	}
}

// pipe is a stream over a connection of this process.
type pipe struct{ net.Conn }

func (p pipe) CloseWrite() error { return p.Close() }
func (p pipe) Reset() error      { return p.Close() }

// over has a guest ask at a door.
func over(t *testing.T, token Token, admit func([]byte, identity.PeerID) (Network, error)) (Network, error) {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = Answer(pipe{there}, guest(2), admit) // what the guest hears is what counts here
	}()
	n, err := Ask(pipe{here}, token)
	_ = here.Close()
	<-done
	return n, err
}

func TestDoor(t *testing.T) {
	k, _, _ := house()
	token := invited(t, k, time.Hour, 1)
	home := Network{Rendezvous: "r", Secret: "s", Peers: []string{"a", "b"}}
	admit := func(secret []byte, from identity.PeerID) (Network, error) {
		_, err := k.Admit(secret, from)
		return home, err
	}
	n, err := over(t, token, admit)
	if err != nil || n.Rendezvous != "r" || n.Secret != "s" || !slices.Equal(n.Peers, home.Peers) {
		t.Fatalf("%+v, %v", n, err)
	}
	failed := new(Failed)
	if n, err = over(t, invited(t, k, -time.Hour, 1), admit); !errors.As(err, &failed) || n.Secret != "" || failed.F.GetCode() != wire.FailureCode_FAILURE_NOT_ALLOWED {
		t.Errorf("too late: %+v, %v", n, err)
	}
	broken := func([]byte, identity.PeerID) (Network, error) { return home, errors.New("disk /home/ann is full") }
	if n, err = over(t, token, broken); !errors.As(err, &failed) || n.Secret != "" || strings.Contains(err.Error(), "ann") {
		t.Errorf("trouble of the node's own: %+v, %v", n, err)
	}
}

// A guest that says too much, or too little, gets nothing.
func TestBadKnock(t *testing.T) {
	for name, raw := range map[string]string{
		"nothing": "", "cut": "\x00\x00", "too long": "\x00\x00\x01\x00" + strings.Repeat("x", 256), "no frame": "\x00\x00\x00\x02\xff\xff",
	} {
		here, there := net.Pipe()
		go func() {
			_, _ = here.Write([]byte(raw))
			_ = here.Close()
		}()
		err := Answer(pipe{there}, guest(2), func([]byte, identity.PeerID) (Network, error) {
			t.Errorf("%s: asked", name)
			return Network{}, nil
		})
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// What comes from a door that lies is refused.
func TestBadAdmission(t *testing.T) {
	k, _, _ := house()
	for name, n := range map[string]Network{
		"no network": {Peers: []string{"a"}}, "nobody to reach": {Rendezvous: "r"},
	} {
		if got, err := over(t, invited(t, k, time.Hour, 1), func([]byte, identity.PeerID) (Network, error) { return n, nil }); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
	here, there := net.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, there, int64(4+2+secretBytes))
		_, _ = there.Write([]byte("\x7f\xff\xff\xff"))
		_ = there.Close()
	}()
	if _, err := Ask(pipe{here}, invited(t, k, time.Hour, 1)); err == nil {
		t.Error("a bomb is no network")
	}
}

func TestTokens(t *testing.T) {
	k, _, _ := house()
	token := invited(t, k, time.Hour, 1)
	text := token.String()
	for _, spelled := range []string{text, " " + text[:30] + "\r\n  " + text[30:] + "\n"} {
		got, err := Parse(spelled)
		if err != nil || got.String() != text || got.Node != token.Node || got.Expires.UnixMilli() != token.Expires.UnixMilli() {
			t.Errorf("%q: %+v, %v", spelled, got, err)
		}
	}
	two := token
	two.Addrs = append(slices.Clone(two.Addrs), "/ip4/127.0.0.1/tcp/4002/p2p/"+guest(2).String())
	nobody := token
	nobody.Addrs = []string{"/ip4/127.0.0.1/tcp/4002"}
	short := token
	short.Secret = short.Secret[:8]
	for name, bad := range map[string]string{
		"empty": "", "something else": "hello", "cut": text[:len(text)-7], "changed": text[:40] + "é" + text[41:],
		"of two nodes": two.String(), "of none": nobody.String(), "a short secret": short.String(),
		"endless": tokenPrefix + strings.Repeat("A", 1<<20),
	} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// FuzzParse: what reads as an invitation is spelled the same again, in effect.
func FuzzParse(f *testing.F) {
	f.Add(Token{Secret: make([]byte, secretBytes), Addrs: []string{"/ip4/127.0.0.1/tcp/4002/p2p/" + guest(1).String()}, Expires: time.Unix(0, 0)}.String())
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, text string) {
		token, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(token.String())
		if err != nil || again.String() != token.String() || again.Node != token.Node {
			t.Errorf("%+v became %+v, %v", token, again, err)
		}
	})
}
