package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// who asks: with a key, from a host.
type who struct {
	name   string
	client *nodetest.Client
	// role is that of the key, asMember and wasMember those of the host and its key.
	role                wire.Access
	asMember, wasMember bool
}

// path is one way to ask about a repository.
type path struct {
	name, protocol string
	say            func(c *nodetest.Client) []byte
	// told says who gets another answer than where there is no such repository.
	told func(w who) bool
}

func reads(w who) bool { return w.asMember || w.role >= wire.Access_ACCESS_READER }

// paths are all that there are, but raft's own, which answers nobody.
func paths(g *replica.Genesis, tip git.OID) (list []path) {
	for _, intent := range []wire.Intent{
		wire.Intent_INTENT_FETCH, wire.Intent_INTENT_ARCHIVE, wire.Intent_INTENT_PUSH,
		wire.Intent_INTENT_SHOW, wire.Intent_INTENT_LOG, wire.Intent_INTENT_VERIFY, 99,
	} {
		for name, edit := range map[string]func(*wire.Hello){
			"":                     func(*wire.Hello) {},
			", for the first time": func(h *wire.Hello) { h.Genesis = nil },
			", of another genesis": func(h *wire.Hello) { h.Genesis = make([]byte, 32) },
			", from an index":      func(h *wire.Hello) { h.SeenIndex = 1 << 40 },
		} {
			list = append(list, path{intent.String() + name, "session/1", func(c *nodetest.Client) []byte {
				return frames(&wire.OpenSession{Hello: c.Hello(intent, edit)})
			}, reads})
		}
		list = append(list, path{intent.String() + ", relayed", "session/1", func(c *nodetest.Client) []byte {
			return frames(&wire.OpenSession{Hello: c.Hello(intent, nil), Relayed: true})
		}, reads})
	}
	repo, id := g.Repo[:], make([]byte, replica.TransactionIDBytes)
	ask := func(name string, r *wire.GroupRequest, told func(who) bool) {
		list = append(list, path{name, "group/1", func(*nodetest.Client) []byte { return frames(r) }, told})
	}
	member := func(w who) bool { return w.asMember }
	seated := func(w who) bool { return w.asMember || w.wasMember }
	known := func(w who) bool { return reads(w) || w.wasMember }
	for name, genesis := range map[string][]byte{"": g.Hash[:], " of another genesis": make([]byte, 32)} {
		ask("objects"+name, &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: &wire.Objects{Repo: repo, Genesis: genesis, Wants: [][]byte{tip.Bytes()}}}}, member)
		ask("payload"+name, &wire.GroupRequest{Kind: &wire.GroupRequest_GetPayload{GetPayload: &wire.GetPayload{Repo: repo, Genesis: genesis, Id: id, Payload: &wire.Payload{Name: "x"}}}}, member)
		ask("staging"+name, &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{StagePayload: &wire.StagePayload{Repo: repo, Genesis: genesis, Id: id}}}, member)
	}
	ask("where", where(repo), seated)
	ask("where with a state", &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: repo, State: &wire.StateHash{Index: 2}}}}, seated)
	ask("create", &wire.GroupRequest{Kind: &wire.GroupRequest_Create{Create: &wire.Create{Genesis: g.Signed}}}, known)
	seat := &wire.Prepare{Repo: repo, Owner: g.Owner[:], Name: g.Name}
	ask("seat", &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: seat}}, known)
	instead := proto.Clone(seat).(*wire.Prepare)
	instead.InsteadOf = 1
	ask("seat instead", &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: instead}}, known)
	ask("where, after that", where(repo), known) // who knew drew no decoy
	return list
}

// sameButDrawn is an answer without what is drawn at random: the nonce of a seat, and its hash.
func sameButDrawn(t *testing.T, p path, raw []byte) string {
	t.Helper()
	r := new(wire.GroupReply)
	if p.protocol != "group/1" || wire.ReadFrame(bytes.NewReader(raw), r, wire.RequestBytesMax) != nil {
		return string(raw)
	}
	if n := r.GetPrepare().GetNonce(); len(n) > 0 {
		clear(n)
	}
	if w := r.GetWhere().GetWaits(); len(w) > 0 {
		clear(w)
	}
	return string(frames(r))
}

// Everybody asks in every way, at a leader, at a follower and at a node that holds
// nothing: who may not know of the repository gets the bytes of the latter.
func TestPrivate(t *testing.T) {
	t.Parallel()
	for name, private := range map[string]bool{"private": true, "public": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := nodetest.New(t, 6, repairing)
			for _, m := range c.Members[:4] {
				m.Start()
			}
			first, out, second, third, empty, other := c.Members[0], c.Members[1], c.Members[2], c.Members[3], c.Members[4], c.Members[5]
			g := c.Found(node.InitOptions{Private: private, On: []identity.PeerID{first.ID, out.ID, second.ID}})
			if g.Private != private {
				t.Fatal("founded otherwise")
			}
			tip := chain(t, c, c.Client(g), git.OID{}, 2)
			configure(t, first, g, func(s *wire.Settings) { s.Off = [][]byte{[]byte(out.ID)} })
			c.Eventually(votersAre(t, g, first, first, second, third))
			c.Eventually(func() string {
				if list, err := out.Node.Repos(deadline(t)); err != nil || len(list) > 0 {
					return "the one that left still has it"
				}
				return ""
			})
			empty.Start()
			other.Start()
			people := []who{
				{name: "nobody", client: c.ClientAs(identity.KeyFromSeed([32]byte{80}), g)},
				{name: "a node without a part", client: &nodetest.Client{Key: other.Key, Genesis: g, Net: other.Host}},
				{name: "a former member", client: &nodetest.Client{Key: out.Key, Genesis: g, Net: out.Host}, wasMember: true},
				{name: "a member", client: &nodetest.Client{Key: second.Key, Genesis: g, Net: second.Host}, asMember: true},
				{name: "a member's key elsewhere", client: c.ClientAs(second.Key, g)},
				{name: "the owner elsewhere", client: c.Client(g), role: wire.Access_ACCESS_OWNER},
			}
			for _, role := range []wire.Access{wire.Access_ACCESS_READER, wire.Access_ACCESS_WRITER, wire.Access_ACCESS_MAINTAINER} {
				key := identity.KeyFromSeed([32]byte{81, byte(role)})
				if err := allows(t, first, g, granting(key, role)); err != nil {
					t.Fatal(err)
				}
				host := c.Net.Host(key.PeerID()) // the node of that key's home
				t.Cleanup(host.Close)
				people = append(people, who{name: replica.AccessName(role) + " at home", client: &nodetest.Client{Key: key, Genesis: g, Net: host}, role: role},
					who{name: replica.AccessName(role), client: c.ClientAs(key, g), role: role})
			}
			c.Agree(g, first, second, third)
			for _, p := range paths(g, tip) {
				for _, w := range people {
					told := p.told(w)
					switch {
					case p.protocol == "session/1" && w.name == "a member's key elsewhere":
						told = true
					case p.protocol == "group/1" && !strings.HasSuffix(w.name, "at home") && !w.asMember && !w.wasMember:
						told = false // a host says nothing about whose it is
					}
					without, with := empty, []*nodetest.Member{first, third}
					if p.name == "create" { // it depends on whom the genesis names
						if without, with = out, with[:1]; w.wasMember {
							continue
						}
					}
					say := p.say(w.client)
					nothing := sameButDrawn(t, p, raw(t, w.client, without.ID, p.protocol, say))
					for _, at := range with {
						got := sameButDrawn(t, p, raw(t, w.client, at.ID, p.protocol, say))
						if same := got == nothing; private && same == told || !private && same && reads(w) {
							t.Errorf("%s: %s at %s is told: %v, want %v: %q", w.name, p.name, at.ID, !same, told, got)
						}
					}
				}
			}
			if seat, ok, err := first.Store.Seat(g.Repo); err != nil || !ok || string(seat) != string(g.Members[0].Nonce) {
				t.Errorf("its seat is %x, %v, %v", seat, ok, err)
			}
			chain(t, c, c.Client(g), tip, 1)
			c.Agree(g, first, second, third)
		})
	}
}

// A seat that a stranger draws where there is a private repository is like one that is
// drawn where there is none: kept, and shown.
func TestDecoySeat(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{Private: true})
	at, stranger := c.Members[0], c.ClientAs(keyOfStranger, g)
	for _, repo := range []identity.RepoID{g.Repo, identity.NewRepoID(g.Owner, "none")} {
		name := map[bool]string{true: g.Name, false: "none"}[repo == g.Repo]
		draw := func() []byte {
			answer, err := request(t, stranger, at.ID, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{Repo: repo[:], Owner: g.Owner[:], Name: name}}})
			if err != nil {
				t.Fatal(err)
			}
			return answer.GetPrepare().GetNonce()
		}
		nonce := draw()
		if len(nonce) != replica.NonceBytes || !bytes.Equal(nonce, draw()) || bytes.Equal(nonce, g.Members[0].Nonce) || bytes.Equal(nonce, make([]byte, replica.NonceBytes)) {
			t.Errorf("%s: nonces %x and %x", name, nonce, draw())
		}
		answer, err := request(t, stranger, at.ID, where(repo[:]))
		if sum := sha256.Sum256(nonce); err != nil || !bytes.Equal(answer.GetWhere().GetWaits(), sum[:]) {
			t.Errorf("%s: the seat is not shown: %v, %v", name, answer, err)
		}
	}
}

// What was said to one node serves nobody to ask another, but for a member that relays.
func TestHelloIsForOne(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{Private: true})
	leader := c.Settle(g)
	owner, thief := c.Client(g), c.ClientAs(keyOfStranger, g)
	follower := &nodetest.Client{Key: c.Members[1].Key, Genesis: g, Net: c.Members[1].Host}
	for _, tt := range []struct {
		name    string
		to      identity.PeerID
		from    *nodetest.Client
		relayed bool
		want    bool
	}{
		{"to whom it is for", leader.ID, owner, false, true},
		{"to nobody in particular", "", owner, false, true},
		{"passed on by whom it was for", keyOfStranger.PeerID(), thief, false, false},
		{"passed on as if by a member", keyOfStranger.PeerID(), thief, true, false},
		{"for a member, by another", c.Members[1].ID, thief, true, false},
		{"for a member, that relays it", c.Members[1].ID, follower, true, true},
		{"for a member, that asks in its own name", c.Members[1].ID, follower, false, false},
	} {
		for _, intent := range []wire.Intent{wire.Intent_INTENT_SHOW, wire.Intent_INTENT_FETCH, wire.Intent_INTENT_ARCHIVE, wire.Intent_INTENT_PUSH, wire.Intent_INTENT_LOG} {
			hello := owner.Hello(intent, func(h *wire.Hello) { h.To = []byte(tt.to) })
			m := new(wire.ToClient)
			if err := wire.ReadFrame(bytes.NewReader(raw(t, tt.from, leader.ID, "session/1", frames(&wire.OpenSession{Hello: hello, Relayed: tt.relayed}))), m, wire.ToClientBytesMax); err != nil {
				t.Fatal(err)
			}
			if got := m.GetWelcome() != nil; got != tt.want || !got && m.GetFailure().GetCode() != wire.FailureCode_FAILURE_NOT_FOUND {
				t.Errorf("%s, %s: %v", tt.name, intent, m)
			}
		}
	}
}

// Nothing that anybody can see without asking names a private repository, and nobody
// but its members is asked about it when it is made.
func TestPrivateIsNotAnnounced(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 4, nil)
	var mu sync.Mutex
	asked := map[string]bool{} // of the stranger
	compared := map[identity.PeerID]bool{}
	var private *replica.Genesis
	repo := identity.NewRepoID(c.Members[0].Key.Public(), "secret")
	stranger := c.Members[3]
	c.Net.Fault(func(o nodetest.Opening) int {
		mu.Lock()
		defer mu.Unlock()
		raw, _ := proto.Marshal(o.Request)
		if o.To == stranger.ID && bytes.Contains(raw, repo[:]) {
			asked[o.Request.String()] = true
		}
		if w := o.Request.GetWhere(); string(w.GetRepo()) == string(repo[:]) && w.GetState() != nil {
			compared[o.To] = true
		}
		return nodetest.Pass
	})
	private = c.Found(node.InitOptions{Name: "secret", Private: true, On: c.IDs()[:3]})
	public := c.Found(node.InitOptions{Name: "known", On: c.IDs()[:3]})
	chain(t, c, c.Client(private), git.OID{}, 1)
	chain(t, c, c.Client(public), git.OID{}, 1)
	c.Eventually(func() string {
		topics, records := c.Net.Open()
		if records[string(public.Repo[:])] == nil || !slices.Contains(topics, "repo/1/"+public.Repo.String()) {
			return "the public one is not announced"
		}
		mu.Lock()
		defer mu.Unlock()
		if len(compared) < 2 {
			return "the leader of the private one does not tell the others where it is"
		}
		return ""
	})
	topics, records := c.Net.Open()
	if len(topics) != 1 || len(records) != 1 {
		t.Errorf("topics %v, %d records", topics, len(records))
	}
	seen := strings.Join(topics, "\n")
	for key, value := range records {
		seen += key + string(value)
	}
	for _, word := range []string{string(repo[:]), repo.String(), "secret", string(private.Hash[:]), private.Hash.String(), hex.EncodeToString(private.Signed.GetSignature())} {
		if strings.Contains(seen, word) {
			t.Errorf("%q can be seen", word)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(asked) > 0 {
		t.Errorf("somebody without a part was asked: %v", asked)
	}
}

// Who is let in finds the repository without any record of it, and reads it; who is
// shut out does not find it any more, though it knows its genesis.
func TestReaderOfAPrivateRepository(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 5, nil)
	g := c.Found(node.InitOptions{Private: true, On: c.IDs()[:3]})
	tip := chain(t, c, c.Client(g), git.OID{}, 2)
	reader, guestNode := identity.KeyFromSeed([32]byte{90}), c.Members[4]
	clients := map[string]*node.Client{}
	for name, key := range map[string]identity.Key{"reader": reader, "stranger": keyOfStranger} {
		clients[name] = node.NewClient(key, c.ClientAs(key, g).Net, slog.New(slog.DiscardHandler))
	}
	finds := func(cl interface {
		Session(ctx context.Context, repo identity.RepoID, push bool) (wire.Session, error)
	}, push bool) error {
		s, err := cl.Session(deadline(t), g.Repo, push)
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	for name, cl := range clients {
		if err := finds(cl, false); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_FOUND {
			t.Errorf("%s finds it: %v", name, err)
		}
	}
	for _, key := range []identity.Key{reader, guestNode.Key} {
		if err := allows(t, c.Members[0], g, granting(key, wire.Access_ACCESS_READER)); err != nil {
			t.Fatal(err)
		}
	}
	c.Agree(g, c.Members[:3]...)
	for _, push := range []bool{false, true} {
		if err := finds(clients["reader"], push); err != nil {
			t.Errorf("the reader does not find it: %v", err)
		}
		if err := finds(guestNode.Node, push); err != nil {
			t.Errorf("the reader's node does not find it: %v", err)
		}
	}
	if info, err := guestNode.Node.Show(deadline(t), g.Repo); err != nil || !info.Genesis.Private {
		t.Errorf("shown to the reader: %v, %v", info, err)
	}
	if _, err := guestNode.Node.Log(deadline(t), g.Repo, 5); err != nil {
		t.Errorf("log for the reader: %v", err)
	}
	who := c.ClientAs(reader, g)
	s, err := who.List(deadline(t), c.Members[1].ID, nil)
	if err != nil || s.Refs[main] != tip {
		t.Fatalf("the reader lists %v, %v", s, err)
	}
	for _, key := range []identity.Key{reader, guestNode.Key} {
		if err := allows(t, c.Members[0], g, granting(key, wire.Access_ACCESS_NONE)); err != nil {
			t.Fatal(err)
		}
	}
	c.Agree(g, c.Members[:3]...)
	for _, m := range c.Members[:3] {
		if s, err := who.List(deadline(t), m.ID, nil); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_FOUND {
			t.Errorf("denied, and lists %v, %v", s, err)
		}
	}
	unknown := finds(clients["stranger"], false)
	for name, err := range map[string]error{
		"client": finds(clients["reader"], false), "node": finds(guestNode.Node, false), "node, pushing": finds(guestNode.Node, true),
	} {
		if err == nil || unknown == nil || err.Error() != unknown.Error() || nodetest.CodeOf(err) != nodetest.CodeOf(unknown) {
			t.Errorf("%s, denied: %v, want %v", name, err, unknown)
		}
	}
	if info, err := guestNode.Node.Show(deadline(t), g.Repo); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_NOT_FOUND {
		t.Errorf("shown to who was denied: %v, %v", info, err)
	}
}
