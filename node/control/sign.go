package control

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"

	"peer/identity"
	"peer/node/control/pb"
	"peer/wire"
)

// signPatience is how long the node waits for one signature of a command, whose
// user may have to confirm it.
const signPatience = 30 * time.Second

// signedFor is all that a command signs for its node.
var signedFor = []identity.Domain{identity.DomainGenesis, identity.DomainTransaction, identity.DomainHello}

// AttachSigner answers the node's questions with s until detach.
func (c *Client) AttachSigner(ctx context.Context, s identity.Signer) (detach func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	rpc, err := c.api.SignAs(ctx)
	if err == nil {
		public := s.Public()
		err = rpc.Send(&pb.SignAnswer{Key: public[:]})
	}
	if err == nil {
		if md, _ := rpc.Header(); md == nil { // the call is over
			_, err = rpc.Recv()
		}
	}
	if err != nil {
		cancel()
		return nil, fromStatus(err)
	}
	answering := make(chan struct{})
	go func() {
		defer close(answering)
		answer(rpc, s)
	}()
	return func() {
		cancel()
		<-answering
	}, nil
}

// answer signs what the node asks for, until the call ends.
func answer(rpc grpc.BidiStreamingClient[pb.SignAnswer, pb.SignQuestion], s identity.Signer) {
	for {
		q, err := rpc.Recv()
		if err != nil {
			return
		}
		a := &pb.SignAnswer{Number: q.GetNumber(), Refused: "a command does not sign that"}
		if d := identity.Domain(q.GetDomain()); slices.Contains(signedFor, d) {
			if a.Signature, err = s.TrySign(d, q.GetBody()); err == nil {
				a.Refused = ""
			} else {
				a.Refused = err.Error()
			}
		}
		if rpc.Send(a) != nil {
			return
		}
	}
}

// SignAs implements the generated server interface.
func (s *service) SignAs(rpc grpc.BidiStreamingServer[pb.SignAnswer, pb.SignQuestion]) error {
	first, err := rpc.Recv()
	if err != nil {
		return err
	}
	public, err := identity.ParsePublicKey(first.GetKey())
	if err != nil {
		return &Error{Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: err.Error()}
	}
	command := &commandSigner{public: public, rpc: rpc, answers: make(chan *pb.SignAnswer), gone: make(chan struct{})}
	defer command.end()
	detach, err := s.backend.AttachSigner(rpc.Context(), command)
	if err != nil {
		return err
	}
	defer detach()
	if err := rpc.SendHeader(nil); err != nil {
		return err
	}
	for {
		a, err := rpc.Recv()
		if err != nil {
			return nil // the command is done
		}
		select {
		case command.answers <- a:
		case <-time.After(signPatience): // nobody asked
			return &Error{Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: "an answer without a question"}
		}
	}
}

// commandSigner signs through a command that waits at the other end of a call.
type commandSigner struct {
	public  identity.PublicKey
	rpc     grpc.BidiStreamingServer[pb.SignAnswer, pb.SignQuestion]
	answers chan *pb.SignAnswer
	gone    chan struct{} // closed when the call ends

	asking sync.Mutex // one question at a time
	number uint64
	// sending is held where something is sent: nothing may be once the call has ended.
	sending sync.Mutex
}

var errCommandGone = errors.New("the command that signs has ended")

// Public implements [identity.Signer].
func (c *commandSigner) Public() identity.PublicKey { return c.public }

// TrySign implements [identity.Signer].
func (c *commandSigner) TrySign(d identity.Domain, body []byte) ([]byte, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	c.number++
	if err := c.send(&pb.SignQuestion{Number: c.number, Domain: string(d), Body: body}); err != nil {
		return nil, identity.Locked("%w", err)
	}
	timer := time.NewTimer(signPatience)
	defer timer.Stop()
	for {
		select {
		case a := <-c.answers:
			switch {
			case a.GetNumber() != c.number: // too late an answer to an earlier one
			case a.GetRefused() != "":
				return nil, identity.Locked("%.500s", a.GetRefused())
			case !c.public.Verify(d, body, a.GetSignature()):
				return nil, identity.Locked("the command's signature does not match")
			default:
				return a.GetSignature(), nil
			}
		case <-c.gone:
			return nil, identity.Locked("%w", errCommandGone)
		case <-timer.C:
			return nil, identity.Locked("the command that signs gave no answer in %v", signPatience)
		}
	}
}

func (c *commandSigner) send(q *pb.SignQuestion) error {
	c.sending.Lock()
	defer c.sending.Unlock()
	select {
	case <-c.gone:
		return errCommandGone
	default:
	}
	if c.rpc.Send(q) != nil {
		return errCommandGone
	}
	return nil
}

func (c *commandSigner) end() {
	c.sending.Lock()
	defer c.sending.Unlock()
	close(c.gone)
}
