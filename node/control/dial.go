package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"peer/node/control/pb"
)

// Flow-control windows and buffers of the API's connections, in bytes. They are
// sized for sessions: a pack in flight should not wait for a window update.
const (
	windowBytes      = 4 << 20
	socketBytes      = 256 << 10
	replyBytesMax    = 64 << 20 // StatusReply of a node with very many repositories
	requestBytesMax  = 4 << 20
	headersBytesMax  = 64 << 10
	dialTimeout      = 2 * time.Second
	keepaliveIdle    = 30 * time.Second
	keepaliveTimeout = 20 * time.Second
)

// Dial connects to the node that serves socketPath. It returns [ErrNotRunning],
// wrapped, where there is no socket or nobody listens on it.
func Dial(ctx context.Context, socketPath string) (*Client, error) {
	first, err := dialSocket(ctx, socketPath)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("%s: %w", socketPath, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("connect to the node at %s: %w", socketPath, err)
	}
	return newClient(first, func(ctx context.Context) (net.Conn, error) { return dialSocket(ctx, socketPath) })
}

// DialTCP connects to a node's TCP port with the token of its home.
func DialTCP(ctx context.Context, addr, token string) (*Client, error) {
	dial := func(ctx context.Context) (net.Conn, error) {
		d := net.Dialer{Timeout: dialTimeout}
		return d.DialContext(ctx, "tcp", addr)
	}
	first, err := dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect to the node at %s: %w", addr, err)
	}
	return newClient(first, dial, grpc.WithPerRPCCredentials(bearer(token)))
}

// newClient speaks over first, an open connection, and dials again if it breaks.
func newClient(first net.Conn, dial func(context.Context) (net.Conn, error), more ...grpc.DialOption) (*Client, error) {
	unused := new(atomic.Pointer[net.Conn])
	unused.Store(&first)
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			if c := unused.Swap(nil); c != nil {
				return *c, nil
			}
			return dial(ctx)
		}),
		grpc.WithInitialWindowSize(windowBytes),
		grpc.WithInitialConnWindowSize(windowBytes),
		grpc.WithReadBufferSize(socketBytes),
		grpc.WithWriteBufferSize(socketBytes),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(replyBytesMax)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveIdle, Timeout: keepaliveTimeout}),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}, more...)
	conn, err := grpc.NewClient("passthrough:///peer", options...)
	if err != nil {
		return nil, errors.Join(err, first.Close())
	}
	conn.Connect()
	return &Client{unused: unused, conn: conn, api: pb.NewPeerClient(conn)}, nil
}

// bearer shows a token with each call. The connection is plain: the port is
// meant for loopback, and the flag that opens it elsewhere says so.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (b bearer) RequireTransportSecurity() bool { return false }
