package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"peer/node/control/pb"
)

// Limits of the server.
const (
	callsMax     = 1024             // concurrent calls per connection, sessions included
	stopPatience = 2 * time.Second  // what calls get to end by themselves at Close
	minPing      = 10 * time.Second // clients that ping more often are cut off
)

// Options says what to serve, and where.
type Options struct {
	SocketPath string // unix socket, created 0600; required
	// TCPAddr is host:port, or ":port" for loopback; port 0 takes a free one.
	// Empty: no TCP. The connection is not encrypted, so an address that others
	// can reach shows them the token.
	TCPAddr   string
	TokenPath string // created 0600 when TCPAddr is set and it is missing
	Backend   Backend
	Logger    *slog.Logger
}

// Server is the API of a node, being served.
type Server struct {
	grpc    *grpc.Server
	cancel  context.CancelFunc // ends all calls
	socket  *socket
	tcpAddr string

	listeners sync.WaitGroup
	pumps     sync.WaitGroup // of sessions; they outlive their calls by moments
	closing   sync.Once
	failing   sync.Once
	failed    error // of the first listener that ended by itself; read after listeners.Wait
}

// Serve listens where o says, and serves until Close or until ctx ends. It has
// begun to serve when it returns.
func Serve(ctx context.Context, o Options) (*Server, error) {
	if o.Backend == nil || o.SocketPath == "" || o.Logger == nil {
		return nil, errors.New("control: options lack a backend, a socket path or a logger")
	}
	sock, err := listenSocket(o.SocketPath)
	if err != nil {
		return nil, fmt.Errorf("listen for clients: %w", err)
	}
	s := &Server{socket: sock}
	var tcp net.Listener
	var token string
	if o.TCPAddr != "" {
		if token, err = loadOrCreateToken(o.TokenPath); err == nil {
			tcp, err = listenTCP(ctx, o.TCPAddr)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen for gRPC: %w", err), sock.Close())
		}
		s.tcpAddr = tcp.Addr().String()
	}
	ctx, s.cancel = context.WithCancel(ctx)
	gate := &gate{token: token, log: o.Logger, end: ctx}
	s.grpc = newGRPC(gate)
	pb.RegisterPeerServer(s.grpc, &service{backend: o.Backend, grpcAddr: s.tcpAddr, pumps: &s.pumps})
	reflection.Register(s.grpc)
	s.serve(sock)
	if tcp != nil {
		s.serve(tcp)
	}
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

func newGRPC(g *gate) *grpc.Server {
	return grpc.NewServer(
		grpc.ChainUnaryInterceptor(g.unary),
		grpc.ChainStreamInterceptor(g.stream),
		grpc.MaxRecvMsgSize(requestBytesMax),
		grpc.MaxHeaderListSize(headersBytesMax),
		grpc.MaxConcurrentStreams(callsMax),
		grpc.InitialWindowSize(windowBytes),
		grpc.InitialConnWindowSize(windowBytes),
		grpc.ReadBufferSize(socketBytes),
		grpc.WriteBufferSize(socketBytes),
		grpc.WaitForHandlers(true),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveIdle, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPing, PermitWithoutStream: true}),
	)
}

func (s *Server) serve(l net.Listener) {
	s.listeners.Add(1)
	go func() {
		defer s.listeners.Done()
		if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.failing.Do(func() { s.failed = fmt.Errorf("serve %s: %w", l.Addr(), err) })
			s.cancel() // the other listener ends with it
		}
	}()
}

// TCPAddr is host:port of the TCP listener, empty where there is none.
func (s *Server) TCPAddr() string { return s.tcpAddr }

// Wait returns when the server no longer listens: nil after Close, otherwise
// why not.
func (s *Server) Wait() error {
	s.listeners.Wait()
	return s.failed
}

// Close accepts no more calls, ends those that go on, and waits for them.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.cancel()
		done := make(chan struct{})
		go func() { defer close(done); s.grpc.GracefulStop() }()
		select {
		case <-done:
		case <-time.After(stopPatience):
			s.grpc.Stop()
			<-done
		}
		s.pumps.Wait()
		_ = s.socket.remove()
	})
	return s.Wait()
}

// listenTCP takes ":port" for loopback.
func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "" {
		host = "127.0.0.1"
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w; ports below 1024 need root", err)
	}
	return l, err
}
