package invite

import (
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/wire"
)

// doorTimeout bounds a conversation at the door.
const doorTimeout = 20 * time.Second

// Network is what a guest is told.
type Network struct {
	Rendezvous string
	Secret     string   // empty: an open network
	Peers      []string // multiaddrs, each with /p2p/ID
}

// peersMax is how many addresses a guest takes.
const peersMax = 64

// Answer serves one guest: it reads a Knock, asks admit, and says what came of it.
// The stream is closed in order.
func Answer(s wire.Stream, from identity.PeerID, admit func(secret []byte, guest identity.PeerID) (Network, error)) error {
	if err := s.SetDeadline(time.Now().Add(doorTimeout)); err != nil {
		return err
	}
	knock := new(wire.Knock)
	if err := wire.ReadFrame(s, knock, wire.KnockBytesMax); err != nil {
		return errors.Join(err, s.Reset())
	}
	n, err := admit(knock.GetSecret(), from)
	reply := &wire.Admission{Rendezvous: n.Rendezvous, Secret: n.Secret, Peers: n.Peers[:min(len(n.Peers), peersMax)]}
	if err != nil {
		reply = &wire.Admission{Failure: refusal(err)}
	}
	if failed := wire.WriteFrame(s, reply); failed != nil {
		return errors.Join(err, failed, s.Reset())
	}
	return errors.Join(err, s.Close())
}

func refusal(err error) *wire.Failure {
	if refused := new(RefusedError); errors.As(err, &refused) {
		return &wire.Failure{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: refused.Why, Hint: "nothing was changed; ask for a new one"}
	}
	return &wire.Failure{Code: wire.FailureCode_FAILURE_INTERNAL, Message: "the inviting node has trouble of its own", Hint: "its log says which; nothing was changed, try again later"}
}

// Failed is the refusal of the inviting node.
type Failed struct{ F *wire.Failure }

func (e *Failed) Error() string { return e.F.GetMessage() }

// Failure implements what the command line looks for in errors.
func (e *Failed) Failure() *wire.Failure { return e.F }

// Ask knocks with an invitation at the door on the other end of s.
func Ask(s wire.Stream, t Token) (Network, error) {
	if err := s.SetDeadline(time.Now().Add(doorTimeout)); err != nil {
		return Network{}, err
	}
	if err := wire.WriteFrame(s, &wire.Knock{Secret: t.Secret}); err != nil {
		return Network{}, err
	}
	reply := new(wire.Admission)
	if err := wire.ReadFrame(s, reply, wire.AdmitBytesMax); err != nil {
		return Network{}, fmt.Errorf("no answer at the door: %w", err)
	}
	if f := reply.GetFailure(); f != nil {
		return Network{}, &Failed{f}
	}
	n := Network{Rendezvous: reply.GetRendezvous(), Secret: reply.GetSecret(), Peers: reply.GetPeers()}
	if n.Rendezvous == "" || len(n.Peers) == 0 || len(n.Peers) > peersMax {
		return Network{}, errors.New("what came from the door describes no network")
	}
	return n, nil
}
