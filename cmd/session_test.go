package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

// pipeStream is one end of a stream in memory. Deadlines that are set on it pass
// at once, so that what waits for one shows it.
type pipeStream struct {
	net.Conn
	hasty bool
}

func (s pipeStream) CloseWrite() error { return s.Close() }
func (s pipeStream) Reset() error      { return s.Close() }

func (s pipeStream) SetDeadline(t time.Time) error {
	if s.hasty && !t.IsZero() {
		t = time.Now().Add(100 * time.Millisecond)
	}
	return s.Conn.SetDeadline(t)
}

// dialFunc is a dialer.
type dialFunc func() (wire.Stream, error)

func (d dialFunc) Session(context.Context, string, bool) (wire.Session, error) {
	s, err := d()
	return wire.Session{Stream: s}, err
}

func (d dialFunc) Close() error { return nil }

// scripted is a dialer to a replica that says what serve does, whatever it is asked.
func scripted(t *testing.T, hasty bool, serve func(net.Conn)) dialer {
	var served sync.WaitGroup
	t.Cleanup(served.Wait)
	return dialFunc(func() (wire.Stream, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { theirs.Close() })
		served.Go(func() {
			served.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
			serve(theirs)
		})
		return pipeStream{ours, hasty}, nil
	})
}

var (
	testOwner = identity.KeyFromSeed([32]byte{1})
	testUser  = identity.KeyFromSeed([32]byte{2})
)

func testGenesis(owner identity.Key, name string, createdMillis int64) *replica.Genesis {
	g, err := replica.NewGenesis(owner, &wire.Genesis{
		Name: name, ObjectFormat: "sha1", DefaultBranch: "refs/heads/main", CreatedUnixMs: createdMillis,
		Members: []*wire.Member{{RaftId: 1, Peer: []byte(owner.PeerID()), Nonce: make([]byte, replica.NonceBytes)}},
	})
	if err != nil {
		panic(err)
	}
	return g
}

func welcomeFrame(g *wire.Signed, index uint64) *wire.ToClient {
	return &wire.ToClient{Kind: &wire.ToClient_Welcome{Welcome: &wire.Welcome{Genesis: g, Index: index}}}
}

func testClient(dir string, d dialer) *client {
	return &client{
		address: identity.Address{Owner: testOwner.Public(), Name: "demo"}, user: testUser, pins: pins{dir},
		dial: func(context.Context) (dialer, error) { return d, nil },
	}
}

func TestOpenChecksWhoAnswers(t *testing.T) {
	good := testGenesis(testOwner, "demo", 1)
	forged := proto.CloneOf(good.Signed)
	forged.Signature[0] ^= 1
	failure := &wire.Failure{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "not\x1b[2J here\nok", Hint: "look\relsewhere"}
	for name, c := range map[string]struct {
		frame *wire.ToClient
		want  string // of the error; empty: none
	}{
		"right":                 {welcomeFrame(good.Signed, 5), ""},
		"no genesis":            {welcomeFrame(nil, 5), "genesis is not valid"},
		"forged":                {welcomeFrame(forged, 5), "genesis is not valid"},
		"another owner":         {welcomeFrame(testGenesis(testUser, "demo", 1).Signed, 5), "shows the genesis of repository"},
		"another name":          {welcomeFrame(testGenesis(testOwner, "demo2", 1).Signed, 5), "shows the genesis of repository"},
		"another genesis":       {welcomeFrame(testGenesis(testOwner, "demo", 2).Signed, 5), "two geneses"},
		"older than seen":       {welcomeFrame(good.Signed, 3), "index 4 was seen before"},
		"not a welcome":         {&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}}, "no welcome"},
		"an unknown frame":      {&wire.ToClient{}, "unknown kind"},
		"a failure, made plain": {&wire.ToClient{Kind: &wire.ToClient_Failure{Failure: failure}}, "not [2J here ok"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := (pins{dir}).remember(t.Context(), good.Repo, "demo", good.Hash, 4); err != nil {
				t.Fatal(err)
			}
			cl := testClient(dir, scripted(t, false, func(conn net.Conn) { _ = wire.WriteFrame(conn, c.frame) }))
			s, err := cl.open(t.Context(), wire.Intent_INTENT_FETCH)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				s.close()
				have, err := cl.pins.lookup(good.Repo)
				if err != nil || have.SeenIndex != 5 {
					t.Fatalf("pin %v, %v: want index 5", have, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.ContainsAny(err.Error(), "\x1b\n\r") {
				t.Fatalf("error %q, want %q in it", err, c.want)
			}
			var refusal *control.Error
			if name == "a failure, made plain" && (!errors.As(err, &refusal) || refusal.Hint != "look elsewhere") {
				t.Fatalf("hint of %v", err)
			}
		})
	}
}

// Another try does not mend pins, so nobody waits for it.
func TestDamagedPinsAreSaidAtOnce(t *testing.T) {
	t.Parallel()
	good := testGenesis(testOwner, "demo", 1)
	for name, content := range map[string]string{
		"empty":           "",
		"of another peer": `{"version": 999}`,
		"a bad hash":      `{"version": 1, "repos": {"` + good.Repo.String() + `": {"genesis": "00"}}}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, pinsFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := testClient(dir, scripted(t, false, func(net.Conn) {})).open(t.Context(), wire.Intent_INTENT_FETCH)
		if err == nil || temporary(err) || !strings.Contains(err.Error(), filepath.Join(dir, pinsFile)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A member that lied about the index must not shut a home out: whoever answers
// truthfully later is refused, and the hint leads to answers again.
func TestWayBackFromAnIndexThatNobodyHas(t *testing.T) {
	good := testGenesis(testOwner, "demo", 1)
	refusal := &wire.Failure{Code: wire.FailureCode_FAILURE_BEHIND, Message: "you have seen another index"}
	for name, honest := range map[string]*wire.ToClient{
		"a node that looks": {Kind: &wire.ToClient_Failure{Failure: refusal}},
		"one that does not": welcomeFrame(good.Signed, 5),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			open := func(answer *wire.ToClient) error {
				cl := testClient(dir, scripted(t, false, func(conn net.Conn) { _ = wire.WriteFrame(conn, answer) }))
				s, err := cl.open(t.Context(), wire.Intent_INTENT_FETCH)
				if err == nil {
					s.close()
				}
				return err
			}
			if err := open(welcomeFrame(good.Signed, 1<<60)); err != nil {
				t.Fatal(err)
			}
			err := open(honest)
			if err == nil || temporary(err) {
				t.Fatalf("an older answer: %v", err)
			}
			path := filepath.Join(dir, "pins.json")
			want := fmt.Sprintf("set seen_index of %s in %s to 0", good.Repo, path)
			if hint := hintOf(err); !strings.Contains(hint, want) {
				t.Fatalf("the hint %q does not say %q", hint, want)
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			edited := strings.Replace(string(raw), fmt.Sprintf(`"seen_index": %d`, 1<<60), `"seen_index": 0`, 1)
			if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := open(welcomeFrame(good.Signed, 5)); err != nil {
				t.Fatalf("after the edit: %v", err)
			}
		})
	}
}

// The genesis conflict must show both, so that a person can decide.
func TestConflictShowsBothGeneses(t *testing.T) {
	dir, first, second := t.TempDir(), testGenesis(testOwner, "demo", 1), testGenesis(testOwner, "demo", 2)
	p := pins{dir}
	if err := p.remember(t.Context(), first.Repo, "demo", first.Hash, 1); err != nil {
		t.Fatal(err)
	}
	err := p.remember(t.Context(), first.Repo, "demo", second.Hash, 9)
	var conflict *genesisConflict
	if !errors.As(err, &conflict) || !strings.Contains(err.Error(), first.Hash.String()) || !strings.Contains(err.Error(), second.Hash.String()) {
		t.Fatalf("error %v", err)
	}
	if hint := hintOf(err); !strings.Contains(hint, p.path()) {
		t.Errorf("hint %q", hint)
	}
	if have, _ := p.lookup(first.Repo); have.Genesis != first.Hash.String() || have.SeenIndex != 1 {
		t.Errorf("the pin became %v", have)
	}
}

// The hello must be the home's, and name what it knows.
func TestHello(t *testing.T) {
	dir, g := t.TempDir(), testGenesis(testOwner, "demo", 1)
	var mu sync.Mutex
	var nonces [][]byte
	for index := range uint64(3) {
		cl := testClient(dir, dialFunc(func() (wire.Stream, error) {
			ours, theirs := net.Pipe()
			t.Cleanup(func() { theirs.Close() })
			go func() { // ends with the pipe
				open, hello := new(wire.OpenSession), new(wire.Hello)
				err := wire.ReadFrame(theirs, open, wire.HelloBytesMax)
				if err == nil {
					_, err = replica.Open(open.GetHello(), identity.DomainHello, hello)
				}
				user := testUser.Public()
				if err != nil || !bytes.Equal(hello.GetUser(), user[:]) || hello.GetSeenIndex() != index || len(hello.GetNonce()) != 16 ||
					(index > 0) != bytes.Equal(hello.GetGenesis(), g.Hash[:]) || hello.GetIntent() != wire.Intent_INTENT_FETCH || hello.GetVersion() != 1 {
					t.Errorf("hello %v, %v", hello, err)
				}
				mu.Lock()
				nonces = append(nonces, hello.GetNonce())
				mu.Unlock()
				_ = wire.WriteFrame(theirs, welcomeFrame(g.Signed, index+1))
			}()
			return pipeStream{ours, false}, nil
		}))
		s, err := cl.open(t.Context(), wire.Intent_INTENT_FETCH)
		if err != nil {
			t.Fatal(err)
		}
		s.close()
	}
	if bytes.Equal(nonces[0], nonces[1]) {
		t.Error("two hellos have one nonce")
	}
}

// A replica that goes quiet must not hold a person for ever, wherever it does.
func TestSilentReplica(t *testing.T) {
	g := testGenesis(testOwner, "demo", 1)
	for name, frames := range map[string][]*wire.ToClient{
		"at once":           nil,
		"after the welcome": {welcomeFrame(g.Signed, 1)},
		"in the listing":    {welcomeFrame(g.Signed, 1), refsFrame(false, "refs/heads/main")},
		"after the listing": {welcomeFrame(g.Signed, 1), refsFrame(true, "refs/heads/main")},
		"after go":          {welcomeFrame(g.Signed, 1), refsFrame(true), {Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}}},
		"after progress":    {welcomeFrame(g.Signed, 1), refsFrame(true), {Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}}, {Kind: &wire.ToClient_Progress{Progress: &wire.Progress{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			cl := testClient(t.TempDir(), scripted(t, true, func(conn net.Conn) {
				for _, frame := range frames {
					_ = wire.WriteFrame(conn, frame)
				}
			}))
			done := make(chan error, 1)
			go func() { done <- pushOver(t.Context(), cl, "pack") }()
			select {
			case err := <-done:
				if err == nil || !errors.Is(err, errSilent) {
					t.Errorf("error %v, want %v", err, errSilent)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("still waiting")
			}
		})
	}
}

func refsFrame(done bool, names ...string) *wire.ToClient {
	list := &wire.RefList{Done: done}
	for _, name := range names {
		list.Refs = append(list.Refs, &wire.Ref{Name: name, Oid: bytes.Repeat([]byte{1}, 20)})
	}
	return &wire.ToClient{Kind: &wire.ToClient_Refs{Refs: list}}
}

// pushOver pushes one ref over the client's dialer, without patience.
func pushOver(ctx context.Context, cl *client, pack string) error {
	s, err := cl.open(ctx, wire.Intent_INTENT_PUSH)
	if err != nil {
		return err
	}
	defer s.abort()
	if _, err := s.refs(); err != nil {
		return err
	}
	d, err := newDelivery(cl, s.genesis, s.welcome.GetIndex(), false, []*wire.Operation{refOperation(&wire.RefUpdate{Name: "refs/heads/x", New: bytes.Repeat([]byte{2}, 20)})}, nil)
	if err != nil {
		return err
	}
	d.hasPack = pack != ""
	d.pack = func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(pack)), nil }
	d.say = &remoteText{w: io.Discard, options: &remoteOptions{verbosity: 1}}
	_, err = d.send(ctx, s)
	return err
}

func TestPinsManyWriters(t *testing.T) {
	p := pins{t.TempDir()}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 10 {
				owner := identity.KeyFromSeed([32]byte{byte(i)})
				repo := identity.NewRepoID(owner.Public(), "demo")
				if err := p.remember(t.Context(), repo, "demo", identity.HashGenesis([]byte{byte(i)}), uint64(w)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	for i := range 10 {
		owner := identity.KeyFromSeed([32]byte{byte(i)})
		have, err := p.lookup(identity.NewRepoID(owner.Public(), "demo"))
		if err != nil || have.SeenIndex != 7 || have.Genesis != identity.HashGenesis([]byte{byte(i)}).String() {
			t.Errorf("pin %d is %v, %v", i, have, err)
		}
	}
	entries, err := os.ReadDir(p.dir)
	if err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func TestPinsDamaged(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":     "{",
		"new version": `{"version":2}`,
		"bad hash":    `{"version":1,"repos":{"` + testGenesis(testOwner, "demo", 1).Repo.String() + `":{"genesis":"zz"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, pinsFile)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			g := testGenesis(testOwner, "demo", 1)
			if err := (pins{dir}).remember(t.Context(), g.Repo, "demo", g.Hash, 1); err == nil || !strings.Contains(err.Error(), pinsFile) {
				t.Errorf("error %v does not name the file", err)
			}
			if after, _ := os.ReadFile(path); string(after) != text {
				t.Errorf("the file became %q", after)
			}
		})
	}
}
