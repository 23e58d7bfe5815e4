package cmd

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// resident is a home with what is typed there.
type resident struct {
	t    *testing.T
	home *Home
}

func newResident(t *testing.T, name string) *resident {
	t.Helper()
	home, err := OpenHome(filepath.Join(t.TempDir(), name))
	if err != nil {
		t.Fatal(err)
	}
	return &resident{t, home}
}

func (p *resident) types(args ...string) (out, errs string, code int) {
	var o, e bytes.Buffer
	code = run(append([]string{"peer", "--home", p.home.Dir}, args...), app{in: strings.NewReader(""), out: &o, errs: &e, start: startNode})
	return o.String(), e.String(), code
}

func (p *resident) must(args ...string) string {
	p.t.Helper()
	out, errs, code := p.types(args...)
	if code != 0 {
		p.t.Fatalf("peer %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused wants an exit code and words on stderr.
func (p *resident) refused(code int, want string, args ...string) {
	p.t.Helper()
	out, errs, got := p.types(args...)
	if got != code || !strings.Contains(errs, want) || out != "" {
		p.t.Errorf("peer %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, want, out, errs)
	}
}

// runs starts the home's node in the network that the home belongs to.
func (p *resident) runs(network Network) (stop func()) {
	p.t.Helper()
	key, err := p.home.Key()
	if err != nil {
		p.t.Fatal(err)
	}
	user, err := newNodeUser(p.home)
	if err != nil {
		p.t.Fatal(err)
	}
	lock, err := p.home.Lock()
	if err != nil {
		p.t.Fatal(err)
	}
	node, err := startNode(p.t.Context(), NodeConfig{
		Home: p.home, Key: key, User: user, Rendezvous: network.Rendezvous, Secret: network.Secret, Peers: network.Peers,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"}, ReposDir: p.home.ReposPath(), Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		if err := node.Close(); err != nil {
			p.t.Error(err)
		}
		lock.Close()
	}
	p.t.Cleanup(stop)
	return stop
}

func (p *resident) invites(args ...string) (one invitationJSON) {
	p.t.Helper()
	if err := json.Unmarshal([]byte(p.must(append([]string{"invite", "--json"}, args...)...)), &one); err != nil {
		p.t.Fatal(err)
	}
	return one
}

// A closed network lets a guest in by an invitation, once, also after its node was
// started again; and the guest's node finds the others.
func TestInvitation(t *testing.T) {
	team := Network{Rendezvous: "team", Secret: "nobody knows"}
	ann, bob, eve := newResident(t, "ann"), newResident(t, "bob"), newResident(t, "eve")
	stop := ann.runs(team)
	token := ann.invites("--for", "bob").Token
	stop()
	bob.refused(exitUnavailable, "does not answer", "join", token)
	ann.runs(team)

	if err := os.WriteFile(bob.home.ConfigPath(), []byte(`{"secret": "another"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	bob.refused(exitUsage, "goes before", "join", token)
	if err := os.Remove(bob.home.ConfigPath()); err != nil {
		t.Fatal(err)
	}
	ann.refused(exitFailed, "a node already runs", "join", token)
	bob.must("join", token, "--as", "ann")
	eve.refused(exitNotAllowed, "used already", "join", token)
	if n, err := eve.home.Network(); err != nil || n.Secret != "" || len(n.Peers) > 0 {
		t.Errorf("eve learned %+v, %v", n, err)
	}
	bob.refused(exitFailed, "belongs to a network already", "join", token)

	for _, known := range []struct{ who, whom *resident }{{ann, bob}, {bob, ann}} {
		name := filepath.Base(known.whom.home.Dir)
		key, err := known.whom.home.Key()
		if got := known.who.must("id", "alias", name); err != nil || strings.TrimSpace(got) != key.Public().DID() {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
	network, err := bob.home.Network()
	if err != nil {
		t.Fatal(err)
	}
	bob.runs(network)
	key, _ := ann.home.Key()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(bob.must("status"), "peer     "+key.PeerID().String()); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("bob's node does not find ann's:\n%s", bob.must("status"))
		}
	}
}

// The door is shut when nobody is expected: for those withdrawn as well.
func TestDoorCloses(t *testing.T) {
	ann, eve := newResident(t, "ann"), newResident(t, "eve")
	ann.runs(Network{Rendezvous: "team"})
	one, two := ann.invites(), ann.invites("--uses", "2", "--expires", "1h")
	ann.must("invite", "--withdraw", one.ID)
	eve.refused(exitNotAllowed, "withdrawn", "join", one.Token)
	ann.must("invite", "--withdraw", two.ID)
	eve.refused(exitUnavailable, "does not answer", "join", two.Token)
	for _, args := range [][]string{{"--expires", "1s"}, {"--uses", "0"}, {"--uses", "2", "--for", "bob"}, {"--for", "did:x"}, {"--withdraw", "zz"}} {
		if _, errs, code := ann.types(append([]string{"invite"}, args...)...); code == 0 || !strings.Contains(errs, "peer: hint:") {
			t.Errorf("peer invite %v: exit %d, %s", args, code, errs)
		}
	}
}

// A key that a guest's home shares with the door's is its own.
func TestOwnInvitation(t *testing.T) {
	ann := newResident(t, "ann")
	stop := ann.runs(Network{Rendezvous: "team"})
	token := ann.invites().Token
	stop()
	ann.refused(exitFailed, "belongs to a network", "join", token)
	ann.refused(exitUsage, "this home wrote", "join", "--replace", token)
}
