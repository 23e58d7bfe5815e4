package control

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"peer/wire"
)

// ErrNotRunning is returned by [Dial] when no node answers at a socket.
var ErrNotRunning = errors.New("no node is running there")

// Error is a refusal that a person will read: what happened and what is safe,
// and what to type next.
type Error struct {
	Code    wire.FailureCode
	Message string // lower case, no full stop
	Hint    string // may be empty
	Leader  []byte // raw peer ID, with FAILURE_NOT_LEADER where it is known
	Unknown bool   // what was asked for may have been committed all the same
}

// Error is the message. The hint is not part of it: it is printed on a line of its own.
func (e *Error) Error() string { return e.Message }

// Failure is e as it crosses the wire.
func (e *Error) Failure() *wire.Failure {
	return &wire.Failure{Code: e.Code, Message: e.Message, Hint: e.Hint, Leader: e.Leader, Unknown: e.Unknown}
}

// FromFailure is the other way round.
func FromFailure(f *wire.Failure) *Error {
	return &Error{Code: f.GetCode(), Message: f.GetMessage(), Hint: f.GetHint(), Leader: f.GetLeader(), Unknown: f.GetUnknown()}
}

// AsError finds the refusal in err: an [Error], an error with a method
// Failure() *wire.Failure, or a gRPC status that carries one. A context that
// ended is FAILURE_BUSY, anything else FAILURE_INTERNAL. AsError(nil) is nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var failure interface{ Failure() *wire.Failure }
	if errors.As(err, &failure) {
		return FromFailure(failure.Failure())
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Code: wire.FailureCode_FAILURE_BUSY, Message: err.Error()}
	}
	return &Error{Code: wire.FailureCode_FAILURE_INTERNAL, Message: err.Error()}
}

// grpcCodes is how callers that know gRPC but not wire.Failure see a refusal.
var grpcCodes = [...]codes.Code{
	wire.FailureCode_FAILURE_UNSPECIFIED: codes.Unknown,
	wire.FailureCode_FAILURE_NOT_FOUND:   codes.NotFound,
	wire.FailureCode_FAILURE_NOT_LEADER:  codes.FailedPrecondition,
	wire.FailureCode_FAILURE_NO_QUORUM:   codes.Unavailable,
	wire.FailureCode_FAILURE_NOT_ALLOWED: codes.PermissionDenied,
	wire.FailureCode_FAILURE_BAD_REQUEST: codes.InvalidArgument,
	wire.FailureCode_FAILURE_BAD_PACK:    codes.InvalidArgument,
	wire.FailureCode_FAILURE_TOO_LARGE:   codes.ResourceExhausted,
	wire.FailureCode_FAILURE_DISK:        codes.ResourceExhausted,
	wire.FailureCode_FAILURE_BUSY:        codes.Unavailable,
	wire.FailureCode_FAILURE_VERSION:     codes.Unimplemented,
	wire.FailureCode_FAILURE_GENESIS:     codes.FailedPrecondition,
	wire.FailureCode_FAILURE_BEHIND:      codes.FailedPrecondition,
	wire.FailureCode_FAILURE_INTERNAL:    codes.Internal,
}

func grpcCode(c wire.FailureCode) codes.Code {
	if c < 0 || int(c) >= len(grpcCodes) {
		return codes.Unknown
	}
	return grpcCodes[c]
}

// toStatus is what a call returns to grpc for err.
func toStatus(err error) error {
	e := AsError(err)
	if e == nil {
		return nil
	}
	s := status.New(grpcCode(e.Code), e.Message)
	if detailed, err := s.WithDetails(e.Failure()); err == nil {
		s = detailed
	}
	return s.Err()
}

// fromStatus turns what grpc returned to a client back into an [Error]. A
// status without a failure was made by grpc itself.
func fromStatus(err error) error {
	if err == nil {
		return nil
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	for _, detail := range s.Details() {
		if f, ok := detail.(*wire.Failure); ok {
			return FromFailure(f)
		}
	}
	e := &Error{Code: wire.FailureCode_FAILURE_INTERNAL, Message: s.Message()}
	switch s.Code() {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unavailable:
		e.Message = "the node stopped answering: " + s.Message()
		e.Unknown = true
	case codes.Unauthenticated:
		e.Code = wire.FailureCode_FAILURE_NOT_ALLOWED
	case codes.Unimplemented:
		e.Code = wire.FailureCode_FAILURE_VERSION
		e.Hint = "the node is older than this program; restart it with this one"
	case codes.ResourceExhausted:
		e.Code = wire.FailureCode_FAILURE_TOO_LARGE
	}
	return e
}
