package cmd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// fakeSocketEnv turns this test binary, run under the helper's name, into the
// helper of a home whose only way to a replica is the socket that it names.
const (
	fakeSocketEnv  = "PEER_TEST_REPLICA"
	fakeHelperName = "git-remote-peer"
)

func init() {
	socket := os.Getenv(fakeSocketEnv)
	if filepath.Base(os.Args[0]) != fakeHelperName || socket == "" {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	home, err := OpenHome("")
	if err != nil {
		os.Exit(report(os.Stderr, err))
	}
	dial := func(context.Context) (dialer, error) { return socketDialer(socket), nil }
	code := serveRemoteHelper(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, home, dial)
	stop()
	os.Exit(code)
}

// socketDialer is a dialer to a replica behind a unix socket.
type socketDialer string

func (d socketDialer) Session(ctx context.Context, _ string, _ bool) (wire.Session, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", string(d))
	if err != nil {
		return wire.Session{}, err
	}
	return wire.Session{Stream: socketStream{conn.(*net.UnixConn)}, To: []byte("fake replica")}, nil
}

func (d socketDialer) Close() error { return nil }

type socketStream struct{ *net.UnixConn }

func (s socketStream) Reset() error { return s.Close() }

// fakeReplica speaks the session protocol for one repository, kept in a bare
// repository. Pushes are judged one at a time, as a log would.
type fakeReplica struct {
	t       *testing.T
	dir     string
	socket  string
	owner   identity.Key
	genesis *replica.Genesis
	loops   sync.WaitGroup

	mu       sync.Mutex
	index    uint64
	outcomes map[string]*wire.Outcome // by transaction ID
	arrived  []*wire.Transaction      // each time one comes
	requests []*wire.PushRequest
	hellos   []*wire.Hello
	packs    []int // bytes of each pack that came
	conns    map[net.Conn]bool

	// Hooks, each may be nil. They run with the lock held, and are set by hook.
	greet  func(n int) *wire.Failure        // instead of a welcome to the nth session, from 0
	before func(n int, s *fakeSession) bool // the nth transaction has come, nothing else; true: handled
	commit func(n int, s *fakeSession) bool // it has been applied; true: no reply
	listed func(n int) bool                 // the nth session's listing has been sent; true: break off
	chains map[uint64][32]byte
	// receipt makes what comes with an outcome.
	receipt func(*wire.Outcome) *wire.Receipt
	judge   func(*wire.RefUpdate) *wire.Result // nil: by compare-and-swap alone
	stale   bool

	// What proves listings: see remote_fakeproof_test.go.
	pusher identity.Key // may write
	proves bool
	voices []uint64 // the seats that vouch
	setBy  map[string]uint64
	kept   map[uint64]*wire.Signed
	lie    func(*fakeListing) // about a listing, before it is signed
	forge  func(*fakeListing) // and afterwards
	speak  func(*fakeSession) // instead of git
}

type fakeSession struct {
	*net.UnixConn
	*fakeReplica
}

func newFakeReplica(t *testing.T, format string) *fakeReplica {
	t.Helper()
	root := t.TempDir()
	f := &fakeReplica{
		t: t, dir: filepath.Join(root, "repo.git"), socket: filepath.Join(root, "s"),
		owner: identity.KeyFromSeed([32]byte{7}), index: 1,
		outcomes: map[string]*wire.Outcome{}, conns: map[net.Conn]bool{}, chains: map[uint64][32]byte{},
		pusher: identity.KeyFromSeed([32]byte{8}), proves: true, voices: []uint64{1, 3}, setBy: map[string]uint64{}, kept: map[uint64]*wire.Signed{},
	}
	f.git(nil, "init", "--quiet", "--bare", "--object-format="+format, "--initial-branch=main", f.dir)
	f.git(nil, "config", "uploadpack.allowFilter", "true")
	f.genesis = f.newGenesis(format)
	listener, err := net.Listen("unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	f.loops.Go(func() { f.accept(listener) })
	t.Cleanup(func() {
		listener.Close()
		f.mu.Lock()
		for conn := range f.conns {
			conn.Close()
		}
		f.mu.Unlock()
		f.loops.Wait()
	})
	return f
}

func (f *fakeReplica) newGenesis(format string) *replica.Genesis {
	f.t.Helper()
	pusher := f.pusher.Public()
	g, err := replica.NewGenesis(f.owner, &wire.Genesis{
		Name: "demo", ObjectFormat: format, DefaultBranch: "refs/heads/main",
		Members: []*wire.Member{
			{RaftId: 1, Peer: []byte(f.owner.PeerID()), Nonce: make([]byte, replica.NonceBytes)},
			{RaftId: 2, Peer: []byte(fakeVoter(2).PeerID()), Nonce: make([]byte, replica.NonceBytes)},
			{RaftId: 3, Peer: []byte(fakeVoter(3).PeerID()), Nonce: make([]byte, replica.NonceBytes)},
		},
		Policy:        &wire.Policy{Version: 1, Writers: [][]byte{pusher[:]}},
		CreatedUnixMs: time.Now().UnixMilli(),
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return g
}

// hook changes what the replica does from now on.
func (f *fakeReplica) hook(set func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	set()
}

func (f *fakeReplica) url() string {
	return identity.Address{Owner: f.owner.Public(), Name: "demo"}.URL()
}

func (f *fakeReplica) accept(l net.Listener) {
	for n := 0; ; n++ {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns[conn] = true
		f.mu.Unlock()
		f.loops.Go(func() {
			(&fakeSession{conn.(*net.UnixConn), f}).serve(n)
			conn.Close()
			f.mu.Lock()
			delete(f.conns, conn)
			f.mu.Unlock()
		})
	}
}

func (s *fakeSession) tell(m *wire.ToClient) { _ = wire.WriteFrame(s, m) }

func (s *fakeSession) fail(f *wire.Failure) {
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Failure{Failure: f}})
}

func (s *fakeSession) serve(n int) {
	open, hello := new(wire.OpenSession), new(wire.Hello)
	if err := wire.ReadFrame(s, open, wire.HelloBytesMax); err != nil {
		return
	}
	if _, err := replica.Open(open.GetHello(), identity.DomainHello, hello); err != nil {
		s.t.Errorf("hello: %v", err)
		return
	}
	s.mu.Lock()
	s.hellos = append(s.hellos, hello)
	welcome := &wire.Welcome{
		Genesis: s.genesis.Signed, Index: s.index, Term: 1, Stale: s.stale,
		Leader: []byte(s.owner.PeerID()), Peer: []byte(s.owner.PeerID()), Head: "refs/heads/main",
	}
	welcome.Proves = s.proves && hello.GetProve()
	var failure *wire.Failure
	if s.greet != nil {
		failure = s.greet(n)
	}
	s.mu.Unlock()
	if failure != nil {
		s.fail(failure)
		return
	}
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Welcome{Welcome: welcome}})
	switch hello.GetIntent() {
	case wire.Intent_INTENT_FETCH:
		if welcome.GetProves() {
			s.prove(hello.GetProvedIndex())
		}
		if s.speak != nil {
			s.speak(s)
			return
		}
		s.tunnel("upload-pack")
	case wire.Intent_INTENT_ARCHIVE:
		s.tunnel("upload-archive")
	case wire.Intent_INTENT_PUSH:
		s.push(n)
	}
}

func (s *fakeSession) tunnel(service string) {
	c := exec.Command("git", "-c", "uploadpack.allowRefInWant=true", service, s.dir)
	c.Env = append(cleanEnv(), "GIT_PROTOCOL=version=2")
	in, _ := c.StdinPipe()
	c.Stdout = s.UnixConn
	if err := c.Start(); err != nil {
		s.t.Error(err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(in, s.UnixConn)
		in.Close()
	}()
	_ = c.Wait()
	s.Close()
	<-done
}

func (s *fakeSession) push(n int) {
	s.mu.Lock()
	refs, listed := s.refs(), s.listed
	s.mu.Unlock()
	for piece := range slices.Chunk(refs, 500) {
		s.tell(&wire.ToClient{Kind: &wire.ToClient_Refs{Refs: &wire.RefList{Refs: piece}}})
	}
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Refs{Refs: &wire.RefList{Done: true}}})
	if listed != nil && listed(n) {
		return
	}
	request, tx := new(wire.PushRequest), new(wire.Transaction)
	if err := wire.ReadFrame(s, request, wire.RequestBytesMax); err != nil {
		return
	}
	if _, err := replica.Open(request.GetTransaction(), identity.DomainTransaction, tx); err != nil {
		s.t.Errorf("transaction: %v", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.arrived)
	s.arrived, s.requests = append(s.arrived, tx), append(s.requests, request)
	if s.before != nil && s.before(n, s) {
		return
	}
	outcome := s.outcomes[string(tx.GetId())]
	if outcome == nil {
		if request.GetHasPack() {
			s.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{}}})
			if !s.ingest() {
				return
			}
		}
		outcome = s.apply(request.GetTransaction(), tx)
		if s.commit != nil && s.commit(n, s) {
			return
		}
	}
	s.done(outcome)
}

func (s *fakeSession) done(outcome *wire.Outcome) {
	done := &wire.PushDone{Outcome: outcome, Replicas: 3, Durable: 2, NoReceipt: "no receipt from a fake"}
	if s.receipt != nil {
		done.Receipt = s.receipt(outcome)
	}
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Done{Done: done}})
}

func (s *fakeSession) ingest() bool {
	var pack bytes.Buffer
	for {
		chunk, err := wire.ReadChunk(s, wire.ChunkBytesMax)
		if err != nil {
			return false
		}
		if len(chunk) == 0 {
			break
		}
		pack.Write(chunk)
	}
	s.packs = append(s.packs, pack.Len())
	c := exec.Command("git", "-C", s.dir, "index-pack", "--stdin", "--fix-thin", "--strict")
	c.Env, c.Stdin = cleanEnv(), &pack
	if out, err := c.CombinedOutput(); err != nil {
		s.fail(&wire.Failure{Code: wire.FailureCode_FAILURE_BAD_PACK, Message: "index-pack: " + string(out)})
		return false
	}
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Progress{Progress: &wire.Progress{Text: []byte("checked\n")}}})
	return true
}

// apply is the log in small: compare-and-swap by ref, all or none if atomic.
func (f *fakeReplica) apply(signed *wire.Signed, tx *wire.Transaction) *wire.Outcome {
	f.index++
	hash := sha256.Sum256(signed.GetBody())
	outcome := &wire.Outcome{Index: f.index, Term: 1, Signer: tx.GetSigner(), Id: tx.GetId(), TxSha256: hash[:], Result: &wire.Result{}}
	current := map[string][]byte{}
	for _, ref := range f.refs() {
		current[ref.GetName()] = ref.GetOid()
	}
	failed := false
	for _, op := range tx.GetOperations() {
		result := f.decide(op.GetRefUpdate(), current)
		failed = failed || result.GetCode() != wire.Code_CODE_OK
		outcome.Results = append(outcome.Results, result)
	}
	var updates strings.Builder
	for i, op := range tx.GetOperations() {
		switch result, u := outcome.Results[i], op.GetRefUpdate(); {
		case result.GetCode() != wire.Code_CODE_OK:
		case failed && tx.GetAtomic():
			result.Code = wire.Code_CODE_SIBLING
		case len(u.GetNew()) == 0:
			updates.WriteString("delete " + u.GetName() + "\n")
		default:
			updates.WriteString("update " + u.GetName() + " " + hex.EncodeToString(u.GetNew()) + "\n")
		}
	}
	f.git(strings.NewReader(updates.String()), "update-ref", "--stdin")
	for i, op := range tx.GetOperations() {
		if outcome.Results[i].GetCode() == wire.Code_CODE_OK {
			f.setBy[op.GetRefUpdate().GetName()], f.kept[f.index] = f.index, signed
		}
	}
	f.outcomes[string(tx.GetId())] = outcome
	return outcome
}

func (f *fakeReplica) decide(u *wire.RefUpdate, current map[string][]byte) *wire.Result {
	if f.judge != nil {
		if result := f.judge(u); result != nil {
			return result
		}
	}
	switch {
	case !bytes.Equal(current[u.GetName()], u.GetOld()):
		return &wire.Result{Code: wire.Code_CODE_STALE, Detail: "moved"}
	case len(u.GetNew()) == 0 && u.GetName() == "refs/heads/main":
		return &wire.Result{Code: wire.Code_CODE_DELETES_HEAD}
	}
	return &wire.Result{}
}

func (f *fakeReplica) refs() []*wire.Ref {
	var refs []*wire.Ref
	for line := range strings.Lines(f.git(nil, "for-each-ref", "--format=%(objectname) %(refname)")) {
		oid, name, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(oid)
		if err != nil {
			f.t.Error(err)
		}
		refs = append(refs, &wire.Ref{Name: name, Oid: raw})
	}
	return refs
}

// ref is what a ref of the replica is at; empty if there is none.
func (f *fakeReplica) ref(name string) string {
	return strings.TrimSpace(f.git(nil, "for-each-ref", "--format=%(objectname)", name))
}

// git runs git in the bare repository.
func (f *fakeReplica) git(in io.Reader, args ...string) string {
	c := exec.Command("git", args...)
	c.Env, c.Stdin = cleanEnv(), in
	if _, err := os.Stat(f.dir); err == nil {
		c.Dir = f.dir
	}
	out, err := c.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			f.t.Errorf("git %s: %v: %s", strings.Join(args, " "), err, exit.Stderr)
		} else {
			f.t.Errorf("git %s: %v", strings.Join(args, " "), err)
		}
	}
	return string(out)
}

// ids are the transactions that came, and how often each did.
func (f *fakeReplica) ids() (ids []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, tx := range f.arrived {
		ids = append(ids, hex.EncodeToString(tx.GetId()))
	}
	return ids
}

func (f *fakeReplica) lastRequest() *wire.PushRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		return nil
	}
	return proto.CloneOf(f.requests[len(f.requests)-1])
}

func cleanEnv() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_AUTHOR_DATE=1700000000 +0000",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org", "GIT_COMMITTER_DATE=1700000000 +0000",
	}
}
