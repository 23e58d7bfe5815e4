package control

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"peer/wire"
)

// gate is what every call passes: who may call, what a panic becomes, and how
// an error leaves.
type gate struct {
	token string // what callers over TCP must show
	log   *slog.Logger
	end   context.Context // when it ends, so do all calls
}

func (g *gate) unary(ctx context.Context, q any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (r any, err error) {
	ctx, done := g.bound(ctx)
	defer done()
	defer g.leave(ctx, info.FullMethod, &err)
	if err := g.admit(ctx); err != nil {
		return nil, err
	}
	return handle(ctx, q)
}

func (g *gate) stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) (err error) {
	ctx, done := g.bound(s.Context())
	defer done()
	defer g.leave(ctx, info.FullMethod, &err)
	if err := g.admit(ctx); err != nil {
		return err
	}
	return handle(srv, boundStream{s, ctx})
}

// bound is a call's context that also ends with the server.
func (g *gate) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(g.end, cancel)
	return ctx, func() { stop(); cancel() }
}

type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s boundStream) Context() context.Context { return s.ctx }

// admit refuses web pages everywhere, and callers without the token on TCP.
// The file mode of the unix socket has already admitted its callers.
func (g *gate) admit(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if len(md.Get("origin")) > 0 {
		return &Error{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "web pages may not call a node"}
	}
	if p, ok := peer.FromContext(ctx); ok && p.Addr.Network() == "unix" {
		return nil
	}
	if shown := md.Get("authorization"); len(shown) == 1 {
		given, isBearer := strings.CutPrefix(shown[0], "Bearer ")
		if isBearer && g.token != "" && subtle.ConstantTimeCompare([]byte(given), []byte(g.token)) == 1 {
			return nil
		}
	}
	return &Error{
		Code:    wire.FailureCode_FAILURE_NOT_ALLOWED,
		Message: "this port wants the token of the node's home",
		Hint:    "send 'authorization: Bearer TOKEN' with what the file 'token' in the home holds",
	}
}

// leave ends a call: a panic becomes an error, an error a status.
func (g *gate) leave(ctx context.Context, method string, err *error) {
	if r := recover(); r != nil {
		g.log.Error("call panicked", "method", method, "panic", r, "stack", string(debug.Stack()))
		*err = &Error{Code: wire.FailureCode_FAILURE_INTERNAL, Message: "the node failed inside; its log says where", Unknown: true}
	}
	if *err == nil {
		return
	}
	if _, isStatus := status.FromError(*err); isStatus {
		return // made by grpc, or by the reflection service
	}
	if g.end.Err() != nil && errors.Is(*err, context.Canceled) {
		*err = &Error{Code: wire.FailureCode_FAILURE_BUSY, Message: "the node is stopping", Unknown: true}
	}
	e := AsError(*err)
	if e.Code == wire.FailureCode_FAILURE_INTERNAL {
		g.log.Error("call failed", "method", method, "err", *err)
	} else if ctx.Err() == nil {
		g.log.Debug("call refused", "method", method, "err", fmt.Sprint(*err))
	}
	*err = toStatus(e)
}
