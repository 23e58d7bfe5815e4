package node

import (
	"context"
	"crypto/rand"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// AcquireLock takes, or with a token renews, the write lease of a repository in
// the name of this home's key. Others' pushes are refused while it lasts.
func (n *Node) AcquireLock(ctx context.Context, repo identity.RepoID, ttl time.Duration, reason string, token uint64) (*wire.Lock, error) {
	o, err := n.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{
		TtlMs: ttl.Milliseconds(), Reason: reason, Token: token,
	}}})
	if err != nil {
		return nil, err
	}
	public := n.cfg.Key.Public()
	if token == 0 {
		token = o.GetIndex()
	}
	return &wire.Lock{Owner: public[:], Token: token, ExpiresUnixMs: time.Now().Add(ttl).UnixMilli(), Reason: reason}, nil
}

// ReleaseLock gives the lease back.
func (n *Node) ReleaseLock(ctx context.Context, repo identity.RepoID, token uint64) error {
	_, err := n.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: token}}})
	return err
}

// operate signs and pushes one operation that brings no objects.
func (n *Node) operate(ctx context.Context, repo identity.RepoID, op *wire.Operation) (*wire.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	genesis, err := n.locate(ctx, repo)
	if err != nil {
		return nil, err
	}
	s, err := n.Session(ctx, repo, true)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	deadline, _ := ctx.Deadline()
	if err := s.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := n.greet(s, genesis, wire.Intent_INTENT_PUSH); err != nil {
		return nil, err
	}
	var base uint64
	for {
		m := new(wire.ToClient)
		if err := wire.ReadFrame(s, m, wire.ToClientBytesMax); err != nil {
			return nil, err
		}
		switch {
		case m.GetFailure() != nil:
			return nil, &FailureError{m.GetFailure()}
		case m.GetWelcome() != nil:
			base = m.GetWelcome().GetIndex()
		case m.GetRefs().GetDone():
			if err := n.sendOperation(s, genesis, base, op); err != nil {
				return nil, err
			}
		case m.GetDone() != nil:
			return m.GetDone().GetOutcome(), refusalOf(m.GetDone().GetOutcome())
		}
	}
}

func (n *Node) sendOperation(s wire.Stream, g *replica.Genesis, base uint64, op *wire.Operation) error {
	public := n.cfg.Key.Public()
	id := make([]byte, replica.TransactionIDBytes)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	signed, err := replica.Seal(n.cfg.Key, identity.DomainTransaction, &wire.Transaction{
		Genesis: g.Hash[:], Signer: public[:], Id: id, Base: base, Window: replica.WindowMax,
		Atomic: true, Operations: []*wire.Operation{op},
	})
	if err != nil {
		return err
	}
	return wire.WriteFrame(s, &wire.PushRequest{Transaction: signed})
}

// refusalOf turns a refused transaction into an error.
func refusalOf(o *wire.Outcome) error {
	for _, r := range append([]*wire.Result{o.GetResult()}, o.GetResults()...) {
		switch r.GetCode() {
		case wire.Code_CODE_OK:
		case wire.Code_CODE_NOT_ALLOWED:
			return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, r.GetDetail(), "nothing was changed")
		default:
			return failure(wire.FailureCode_FAILURE_BAD_REQUEST, r.GetDetail(), "nothing was changed")
		}
	}
	return nil
}
