package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"peer/node/control/pb"
	"peer/wire"
)

func TestCallsReachTheBackend(t *testing.T) {
	noLeaks(t)
	b := &fakeBackend{
		init: func(q *pb.InitRequest) (*pb.InitReply, error) {
			return &pb.InitReply{Repo: &pb.Repo{Name: q.GetName()}}, nil
		},
		show: func(repo string) (*pb.Repo, error) { return &pb.Repo{Id: repo}, nil },
	}
	_, o := serve(t, b, false)
	c, ctx := dial(t, o), t.Context()
	check := func(name, got string, err error, want string) {
		t.Helper()
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", name, got, err, want)
		}
	}
	ping, err := c.Ping(ctx, &pb.PingRequest{})
	check("ping", ping.GetVersion(), err, "fake")
	status, err := c.Status(ctx, &pb.StatusRequest{})
	check("status", status.GetPeerId(), err, "12D3")
	made, err := c.Init(ctx, &pb.InitRequest{Name: "new"})
	check("init", made.GetRepo().GetName(), err, "new")
	list, err := c.ListRepos(ctx, &pb.ListReposRequest{})
	check("list", list.GetRepos()[0].GetName(), err, "listed")
	shown, err := c.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: "x"})
	check("show", shown.GetId(), err, "x")
	pull, err := c.Pull(ctx, &pb.PullRequest{Repo: "x"})
	check("pull", pull.GetPeer(), err, "best for x")
	leader, err := c.Leader(ctx, &pb.LeaderRequest{Repo: "x"})
	check("leader", leader.GetPeer(), err, "leader of x")
	lock, err := c.AcquireLock(ctx, &pb.AcquireLockRequest{Reason: "why"})
	check("lock", lock.GetLock().GetReason(), err, "why")
	unlock, err := c.ReleaseLock(ctx, &pb.ReleaseLockRequest{Token: 9})
	check("unlock", fmt.Sprint(unlock.GetLock().GetToken()), err, "9")
}

func TestWatchStreamsAndEnds(t *testing.T) {
	noLeaks(t)
	b := &fakeBackend{events: []*pb.Event{{Index: 1}, {Index: 2}}}
	s, o := serve(t, b, false)
	ctx, cancel := context.WithCancel(t.Context())
	var seen []uint64
	err := dial(t, o).Watch(ctx, &pb.WatchRequest{}, func(e *pb.Event) error {
		if seen = append(seen, e.GetIndex()); len(seen) == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || fmt.Sprint(seen) != "[1 2]" {
		t.Fatalf("saw %v, %v", seen, err)
	}
	enough := errors.New("enough")
	if err := dial(t, o).Watch(t.Context(), &pb.WatchRequest{}, func(*pb.Event) error { return enough }); !errors.Is(err, enough) {
		t.Fatalf("emit failed: %v", err)
	}
	stopped := make(chan error, 1)
	started := make(chan struct{}, 2)
	c := dial(t, o)
	go func() {
		stopped <- c.Watch(t.Context(), &pb.WatchRequest{}, func(*pb.Event) error { started <- struct{}{}; return nil })
	}()
	<-started
	s.Close()
	var refusal *Error
	if err := <-stopped; !errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_BUSY {
		t.Fatalf("server stopped: %v", err)
	}
}

func TestPanicEndsTheCallAlone(t *testing.T) {
	b := &fakeBackend{status: func(context.Context) (*pb.StatusReply, error) { panic("broken") }}
	_, o := serve(t, b, false)
	c := dial(t, o)
	_, err := c.Status(t.Context(), &pb.StatusRequest{})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_INTERNAL || strings.Contains(refusal.Message, "broken") {
		t.Fatalf("got %#v", err)
	}
	if _, err := c.Ping(t.Context(), &pb.PingRequest{}); err != nil {
		t.Fatal("after the panic:", err)
	}
}

func TestTCPWantsTheToken(t *testing.T) {
	noLeaks(t)
	s, o := serve(t, &fakeBackend{}, true)
	info, err := os.Stat(o.TokenPath)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("token file: %v, %v", info.Mode(), err)
	}
	token, err := LoadToken(o.TokenPath)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		token   string
		allowed bool
	}{
		{"right", token, true},
		{"none", "", false},
		{"other", strings.Repeat("0", len(token)), false},
		{"shorter", token[:10], false},
		{"longer", token + "0", false},
	} {
		c, err := DialTCP(t.Context(), s.TCPAddr(), tc.token)
		if err != nil {
			t.Fatal(err)
		}
		status, err := c.Status(t.Context(), &pb.StatusRequest{})
		var refusal *Error
		switch {
		case tc.allowed && (err != nil || status.GetGrpcAddr() != s.TCPAddr()):
			t.Errorf("%s: %v, %v", tc.name, status, err)
		case !tc.allowed && (!errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_NOT_ALLOWED || refusal.Hint == ""):
			t.Errorf("%s: %#v", tc.name, err)
		}
		if _, err := c.Session(t.Context(), "id", false); !tc.allowed && (!errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_NOT_ALLOWED) {
			t.Errorf("%s: session: %#v", tc.name, err)
		}
		c.Close()
	}
}

func TestTokenIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	first, err := loadOrCreateToken(path)
	if err != nil || len(first) != 2*tokenBytes {
		t.Fatalf("%q, %v", first, err)
	}
	if again, err := loadOrCreateToken(path); again != first || err != nil {
		t.Fatalf("%q, %v", again, err)
	}
	for _, bad := range []string{"", "xyz", first[:20], first + "00", strings.Repeat("a", 1<<20)} {
		must(t, os.WriteFile(path, []byte(bad), 0o600))
		if _, err := loadOrCreateToken(path); err == nil {
			t.Errorf("took %.20q for a token", bad)
		}
	}
}

func TestWebPagesAreRefused(t *testing.T) {
	s, o := serve(t, &fakeBackend{}, true)
	token, _ := LoadToken(o.TokenPath)
	overTCP, err := DialTCP(t.Context(), s.TCPAddr(), token)
	if err != nil {
		t.Fatal(err)
	}
	defer overTCP.Close()
	for name, c := range map[string]*Client{"tcp": overTCP, "socket": dial(t, o)} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "origin", "https://example.org")
		var refusal *Error
		if _, err := c.Ping(ctx, &pb.PingRequest{}); !errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_NOT_ALLOWED {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What a page can send without asking is HTTP/1.1; nobody answers that here.
	web := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := web.Post("http://"+s.TCPAddr()+"/peer.control.v1.Peer/Ping", "text/plain", nil); err == nil {
		r.Body.Close()
		t.Errorf("HTTP/1.1 was answered: %s", r.Status)
	}
}

func TestReflection(t *testing.T) {
	s, o := serve(t, &fakeBackend{}, true)
	token, _ := LoadToken(o.TokenPath)
	list := func(target string, options ...grpc.DialOption) error {
		conn, err := grpc.NewClient(target, append(options, grpc.WithTransportCredentials(insecure.NewCredentials()))...)
		if err != nil {
			return err
		}
		defer conn.Close()
		stream, err := reflection.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
		if err != nil {
			return err
		}
		// A call that was refused already takes nothing more; Recv says why.
		if err := stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}); !errors.Is(err, io.EOF) {
			must(t, err)
		}
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		if names := fmt.Sprint(r.GetListServicesResponse()); !strings.Contains(names, "peer.control.v1.Peer") {
			return errors.New(names)
		}
		return nil
	}
	if err := list("unix:" + o.SocketPath); err != nil {
		t.Error("socket:", err)
	}
	if err := list(s.TCPAddr(), grpc.WithPerRPCCredentials(bearer(token))); err != nil {
		t.Error("tcp:", err)
	}
	if err := list(s.TCPAddr()); err == nil {
		t.Error("tcp without the token was answered")
	}
}

func TestContextEndsTheServer(t *testing.T) {
	noLeaks(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	_, o := serve(t, &fakeBackend{}, false)
	o.SocketPath = filepath.Join(dir, "peer.sock")
	s, err := Serve(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the socket is gone", func() bool { _, err := os.Lstat(o.SocketPath); return err != nil })
}

func TestSocketFile(t *testing.T) {
	_, o := serve(t, &fakeBackend{}, false)
	info, err := os.Stat(o.SocketPath)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if _, err := Serve(t.Context(), o); err == nil || !strings.Contains(err.Error(), "another node answers") {
		t.Fatalf("a live socket was taken over: %v", err)
	}

	o.SocketPath = filepath.Join(t.TempDir(), "peer.sock")
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: o.SocketPath})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	if _, err := Dial(t.Context(), o.SocketPath); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("dial a stale socket: %v", err)
	}
	s, err := Serve(t.Context(), o)
	if err != nil {
		t.Fatal("a stale socket is in the way:", err)
	}
	// Another one at the same path is not ours to remove.
	os.Remove(o.SocketPath)
	must(t, os.WriteFile(o.SocketPath, nil, 0o600))
	s.Close()
	if _, err := os.Stat(o.SocketPath); err != nil {
		t.Fatal("removed a file that it did not make")
	}
	if _, err := Serve(t.Context(), o); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Fatalf("a file was replaced: %v", err)
	}
	os.Remove(o.SocketPath)
	if _, err := Dial(t.Context(), o.SocketPath); !errors.Is(err, ErrNotRunning) {
		t.Fatalf("dial where nothing is: %v", err)
	}
}

func TestLongSocketPath(t *testing.T) {
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		t.Skip("no /proc here")
	}
	noLeaks(t)
	dir := filepath.Join(t.TempDir(), strings.Repeat("long/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, o := serve(t, &fakeBackend{}, false)
	o.SocketPath = filepath.Join(dir, "peer.sock")
	s, err := Serve(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := dial(t, o).Ping(t.Context(), &pb.PingRequest{}); err != nil {
		t.Fatal(err)
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	full := &Error{
		Code: wire.FailureCode_FAILURE_NOT_LEADER, Message: "somebody else leads", Hint: "ask them",
		Leader: []byte{1, 2}, Unknown: true,
	}
	for _, tc := range []struct {
		name string
		err  error
		want *Error
	}{
		{"own", full, full},
		{"wrapped", fmt.Errorf("show: %w", full), full},
		{"with a failure", fmt.Errorf("x: %w", failing{full.Failure()}), full},
		{"plain", errors.New("disk on fire"), &Error{Code: wire.FailureCode_FAILURE_INTERNAL, Message: "disk on fire"}},
		{"deadline", context.DeadlineExceeded, &Error{Code: wire.FailureCode_FAILURE_BUSY, Message: context.DeadlineExceeded.Error()}},
		{"system", syscall.ENOSPC, &Error{Code: wire.FailureCode_FAILURE_INTERNAL, Message: syscall.ENOSPC.Error()}},
		{"unknown code", &Error{Code: 99, Message: "from the future"}, &Error{Code: 99, Message: "from the future"}},
	} {
		b := &fakeBackend{show: func(string) (*pb.Repo, error) { return nil, tc.err }}
		_, o := serve(t, b, false)
		_, err := dial(t, o).ShowRepo(t.Context(), &pb.ShowRepoRequest{})
		var got *Error
		if !errors.As(err, &got) || fmt.Sprintf("%+v", *got) != fmt.Sprintf("%+v", *tc.want) {
			t.Errorf("%s: got %+v, want %+v", tc.name, got, tc.want)
		}
	}
}

type failing struct{ f *wire.Failure }

func (f failing) Error() string          { return "failing" }
func (f failing) Failure() *wire.Failure { return f.f }

func TestEveryFailureHasAStatus(t *testing.T) {
	for code := range wire.FailureCode_name {
		if code != 0 && grpcCode(wire.FailureCode(code)).String() == "Unknown" {
			t.Errorf("%s has no status code", wire.FailureCode(code))
		}
	}
}

func TestRequestsHaveALimit(t *testing.T) {
	_, o := serve(t, &fakeBackend{}, false)
	_, err := dial(t, o).ShowRepo(t.Context(), &pb.ShowRepoRequest{Repo: strings.Repeat("x", requestBytesMax+1)})
	var refusal *Error
	if !errors.As(err, &refusal) || refusal.Code != wire.FailureCode_FAILURE_TOO_LARGE {
		t.Fatalf("got %v", err)
	}
}
