package control

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"peer/node/control/pb"
	"peer/wire"
)

// sessionChunkBytes is how much of a session rides in one message. With its
// header a message just fits into a 32 KiB buffer of grpc's pool; larger ones
// take 1 MiB each, and are no faster.
const sessionChunkBytes = 32<<10 - 64

// replicaHeader is the peer ID of the replica behind a session.
const replicaHeader = "replica-bin"

// errClosedByClient ends a session whose client has written all and reads no more.
var errClosedByClient = errors.New("closed by the client")

type sessionRPC = grpc.BidiStreamingServer[pb.SessionBytes, pb.SessionBytes]

// Session splices the call with a stream to a replica.
//
// The two pumps may be inside Recv and Send, which only the end of the call
// interrupts. So the handler does not wait for them, the server does: they end
// soon after the handler returned, for it has ended the replica's stream.
func (s *service) Session(rpc sessionRPC) error {
	ctx := rpc.Context()
	first, err := rpc.Recv()
	if err != nil {
		return &Error{Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: "a session begins with the repository"}
	}
	replica, err := s.backend.Session(ctx, first.GetRepo(), first.GetPush())
	if err != nil {
		return err
	}
	// The headers tell the client that there is a replica behind this call.
	if err := rpc.SendHeader(metadata.Pairs(replicaHeader, string(replica.To))); err != nil {
		return errors.Join(err, replica.Reset())
	}
	in, out := make(chan error, 2), make(chan error, 1)
	s.pumps.Go(func() { toReplica(rpc, replica, first.GetData(), in) })
	s.pumps.Go(func() { out <- toClient(rpc, replica) })
	err = join(ctx, in, out)
	if err == nil || errors.Is(err, errClosedByClient) {
		return replica.Close()
	}
	_ = replica.Reset() // the error of the session says more
	return err
}

// join waits until both directions have ended, or one has failed.
func join(ctx context.Context, in, out <-chan error) error {
	for range 2 {
		select {
		case err := <-in:
			if err != nil {
				return err
			}
		case err := <-out:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// lost is the end of a session whose replica went away in the middle of it. What
// that one did last is not known, and another may have the answer.
func lost(err error) error {
	return &Error{
		Code: wire.FailureCode_FAILURE_NOT_LEADER, Unknown: true,
		Message: "the connection to the replica broke: " + err.Error(),
	}
}

// toReplica copies what the client sends. It reports the end of this direction
// once, by nil, and after that perhaps that the client has closed.
func toReplica(rpc sessionRPC, replica wire.Stream, early []byte, report chan<- error) {
	halfClosed := false
	halfClose := func() {
		if !halfClosed {
			halfClosed = true
			report <- replica.CloseWrite()
		}
	}
	data := early
	for {
		if len(data) > 0 {
			if _, err := replica.Write(data); err != nil {
				report <- lost(err)
				return
			}
		}
		m, err := rpc.Recv()
		switch {
		case errors.Is(err, io.EOF):
			halfClose()
			return
		case err != nil:
			report <- err
			return
		case m.GetClosed():
			report <- errClosedByClient
			return
		case m.GetEnd():
			halfClose()
		}
		data = m.GetData()
	}
}

// toClient copies what the replica sends until it half-closes.
func toClient(rpc sessionRPC, replica wire.Stream) error {
	buf := make([]byte, sessionChunkBytes)
	m := new(pb.SessionBytes) // encoded before Send returns, so it is used again
	for {
		n, err := replica.Read(buf)
		if n > 0 {
			m.Data = buf[:n]
			if err := rpc.Send(m); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return rpc.Send(&pb.SessionBytes{End: true})
		}
		if err != nil {
			return lost(err)
		}
	}
}
