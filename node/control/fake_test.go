package control

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"peer/identity"
	"peer/node/control/pb"
	"peer/wire"
)

// fakeBackend answers what its fields say; calls that have none are not found.
type fakeBackend struct {
	status  func(context.Context) (*pb.StatusReply, error)
	show    func(repo string) (*pb.Repo, error)
	init    func(*pb.InitRequest) (*pb.InitReply, error)
	events  []*pb.Event
	attach  func(identity.Signer) (func(), error)
	session func(ctx context.Context, repo string, push bool) (wire.Stream, error)
}

var errNone = &Error{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "no such repository", Hint: "peer repo ls"}

func (f *fakeBackend) Ping(context.Context, *pb.PingRequest) (*pb.PingReply, error) {
	return &pb.PingReply{Version: "fake"}, nil
}

func (f *fakeBackend) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusReply, error) {
	if f.status == nil {
		return &pb.StatusReply{PeerId: "12D3"}, nil
	}
	return f.status(ctx)
}

func (f *fakeBackend) Init(_ context.Context, q *pb.InitRequest) (*pb.InitReply, error) {
	if f.init == nil {
		return nil, errNone
	}
	return f.init(q)
}

func (f *fakeBackend) ListRepos(context.Context, *pb.ListReposRequest) (*pb.ListReposReply, error) {
	return &pb.ListReposReply{Repos: []*pb.Repo{{Name: "listed"}}}, nil
}

func (f *fakeBackend) ShowRepo(_ context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	if f.show == nil {
		return nil, errNone
	}
	return f.show(q.GetRepo())
}

func (f *fakeBackend) Pull(_ context.Context, q *pb.PullRequest) (*pb.PullReply, error) {
	return &pb.PullReply{Peer: "best for " + q.GetRepo()}, nil
}

func (f *fakeBackend) Leader(_ context.Context, q *pb.LeaderRequest) (*pb.LeaderReply, error) {
	return &pb.LeaderReply{Peer: "leader of " + q.GetRepo()}, nil
}

func (f *fakeBackend) AcquireLock(_ context.Context, q *pb.AcquireLockRequest) (*pb.LockReply, error) {
	return &pb.LockReply{Lock: &pb.Lock{Token: 7, Reason: q.GetReason()}}, nil
}

func (f *fakeBackend) ReleaseLock(_ context.Context, q *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	return &pb.LockReply{Lock: &pb.Lock{Token: q.GetToken()}}, nil
}

func (f *fakeBackend) AttachSigner(_ context.Context, s identity.Signer) (func(), error) {
	if f.attach == nil {
		return nil, errNone
	}
	return f.attach(s)
}

func (f *fakeBackend) Log(_ context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	return &pb.LogReply{Index: uint64(q.GetCount()), Peer: "log of " + q.GetRepo()}, nil
}

func (f *fakeBackend) Why(_ context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	return &pb.WhyReply{Reasons: []*pb.Reason{{What: "why " + q.GetRepo()}}}, nil
}

func (f *fakeBackend) Verify(_ context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	if err := emit(&pb.VerifyReply{Peer: q.GetRepo(), Progress: "checking"}); err != nil {
		return err
	}
	return emit(&pb.VerifyReply{Peer: q.GetRepo(), Done: true})
}

func (f *fakeBackend) Watch(ctx context.Context, _ *pb.WatchRequest, emit func(*pb.Event) error) error {
	for _, e := range f.events {
		if err := emit(e); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeBackend) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	if f.session == nil {
		return wire.Session{}, errNone
	}
	s, err := f.session(ctx, repo, push)
	return wire.Session{Stream: s, To: []byte("to " + repo)}, err
}

// serve serves b on a socket, and on TCP too if tcp is set.
func serve(t testing.TB, b Backend, tcp bool) (*Server, Options) {
	t.Helper()
	dir := t.TempDir()
	o := Options{
		SocketPath: filepath.Join(dir, "peer.sock"),
		TokenPath:  filepath.Join(dir, "token"),
		Backend:    b,
		Logger:     slog.New(slog.NewTextHandler(testLog{t}, nil)),
	}
	if tcp {
		o.TCPAddr = "127.0.0.1:0"
	}
	s, err := Serve(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error("close server:", err)
		}
	})
	return s, o
}

func dial(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := Dial(t.Context(), o.SocketPath)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

var errWasReset = errors.New("stream was reset")

// pipe is two ends of one stream, as two processes have it.
func pipe() (a, b *end) {
	there, back := newHalf(), newHalf()
	return &end{in: back, out: there}, &end{in: there, out: back}
}

// end is one end of a pipe.
type end struct {
	in, out *half
	mu      sync.Mutex
	resets  int
	closes  int
}

func (e *end) Read(p []byte) (int, error)  { return e.in.read(p) }
func (e *end) Write(p []byte) (int, error) { return e.out.write(p) }
func (e *end) CloseWrite() error           { e.out.finish(io.EOF); return nil }
func (e *end) SetDeadline(time.Time) error { return errors.New("no deadlines here") }

func (e *end) Close() error {
	e.mu.Lock()
	e.closes++
	e.mu.Unlock()
	e.out.finish(io.EOF)
	e.in.abandon(net.ErrClosed)
	return nil
}

func (e *end) Reset() error {
	e.mu.Lock()
	e.resets++
	e.mu.Unlock()
	e.out.abandon(errWasReset)
	e.in.abandon(errWasReset)
	return nil
}

func (e *end) counts() (closes, resets int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closes, e.resets
}

// half is one direction: a bounded buffer.
type half struct {
	mu     sync.Mutex
	change *sync.Cond
	buf    bytes.Buffer
	err    error // once the buffer is empty
}

const halfBytes = 256 << 10

func newHalf() *half {
	h := new(half)
	h.change = sync.NewCond(&h.mu)
	return h
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.buf.Len() == 0 {
		if h.err != nil {
			return 0, h.err
		}
		h.change.Wait()
	}
	h.change.Broadcast()
	return h.buf.Read(p)
}

func (h *half) write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.buf.Len() >= halfBytes && h.err == nil {
		h.change.Wait()
	}
	if h.err != nil {
		return 0, io.ErrClosedPipe
	}
	h.change.Broadcast()
	return h.buf.Write(p)
}

// finish lets what was written be read, and then err.
func (h *half) finish(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err == nil {
		h.err = err
	}
	h.change.Broadcast()
}

// abandon drops what was written.
func (h *half) abandon(err error) {
	h.mu.Lock()
	h.buf.Reset()
	h.mu.Unlock()
	h.finish(err)
}

// eventually polls what until it holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// noLeaks checks, at the end of the test, that it left no goroutine behind.
func noLeaks(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(10 * time.Second)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("%d goroutines, %d at the start\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

func (f *fakeBackend) Invite(context.Context, *pb.InviteRequest) (*pb.InviteReply, error) {
	return nil, errNone
}

func (f *fakeBackend) ListInvitations(context.Context, *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error) {
	return nil, errNone
}

func (f *fakeBackend) Withdraw(context.Context, *pb.WithdrawRequest) (*pb.WithdrawReply, error) {
	return nil, errNone
}

func (f *fakeBackend) ChangePolicy(context.Context, *pb.ChangePolicyRequest) (*pb.Repo, error) {
	return &pb.Repo{}, nil
}

func (f *fakeBackend) SetHead(context.Context, *pb.SetHeadRequest) (*pb.Repo, error) {
	return &pb.Repo{}, nil
}

func (f *fakeBackend) Configure(context.Context, *pb.ConfigureRequest) (*pb.Repo, error) {
	return &pb.Repo{}, nil
}

func (f *fakeBackend) RemoveRepo(context.Context, *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	return &pb.RemoveRepoReply{}, nil
}

func (f *fakeBackend) AddHook(context.Context, *pb.AddHookRequest) (*pb.Hook, error) {
	return nil, errNone
}

func (f *fakeBackend) ListHooks(context.Context, *pb.ListHooksRequest) (*pb.ListHooksReply, error) {
	return nil, errNone
}

func (f *fakeBackend) RemoveHook(context.Context, *pb.RemoveHookRequest) (*pb.RemoveHookReply, error) {
	return nil, errNone
}

func (f *fakeBackend) TestHook(context.Context, *pb.TestHookRequest) (*pb.TestHookReply, error) {
	return nil, errNone
}
