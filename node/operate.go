package node

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// operation is one signed operation on its way into a group's log. It brings no
// objects, so all of it can be sent again.
type operation struct {
	n       *Node
	genesis *replica.Genesis
	op      *wire.Operation
	// signed is made for the first listing. Every further attempt sends the same
	// bytes: whatever became of an earlier one, the operation happens once.
	signed *wire.Signed
}

// operateAgain is the pause between two attempts.
const operateAgain = 100 * time.Millisecond

// operate signs one operation in the user's name and has the group decide it,
// through changes of the leader.
func (n *Node) operate(ctx context.Context, repo identity.RepoID, op *wire.Operation) (*wire.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	genesis, err := n.locate(ctx, repo)
	if err != nil {
		return nil, err
	}
	if c := op.GetConfigure(); c != nil {
		c.Configuration = n.certified(genesis)
	}
	o := &operation{n: n, genesis: genesis, op: op}
	for {
		outcome, err := o.attempt(ctx)
		if outcome != nil {
			return outcome, RefusalOf(outcome)
		}
		if !worthAnother(err) {
			return nil, err
		}
		select {
		case <-time.After(operateAgain):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// certified names the configuration in force as far as this node knows, which it
// checked, so that whoever signs for the owner confirms it. Empty: that of the genesis.
func (n *Node) certified(genesis *replica.Genesis) []byte {
	proved := n.members.lineage(genesis.Repo)
	if g := n.group(genesis.Repo); g != nil {
		proved = g.members().Lineage
	}
	if proved == nil || proved.Genesis().Hash != genesis.Hash || proved.Last().Generation == 0 {
		return nil
	}
	return proved.Last().Hash[:]
}

// worthAnother: another replica, or the same one later, may answer otherwise.
func worthAnother(err error) bool {
	var refused *FailureError
	if !errors.As(err, &refused) {
		return true // a stream that broke
	}
	if refused.F.GetUnknown() {
		return true // the same bytes get the first outcome
	}
	switch refused.F.GetCode() {
	case wire.FailureCode_FAILURE_NOT_LEADER, wire.FailureCode_FAILURE_BUSY:
		return true
	}
	return false
}

func (o *operation) attempt(ctx context.Context) (*wire.Outcome, error) {
	s, err := o.n.Session(ctx, o.genesis.Repo, true)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	deadline, _ := ctx.Deadline()
	if err := s.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := o.n.greet(s, o.genesis, wire.Intent_INTENT_PUSH); err != nil {
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
			if err := o.send(s, base); err != nil {
				return nil, err
			}
		case m.GetDone() != nil:
			return m.GetDone().GetOutcome(), nil
		}
	}
}

func (o *operation) send(s wire.Stream, base uint64) error {
	if o.signed == nil {
		public := o.n.cfg.User.Public()
		id := make([]byte, replica.TransactionIDBytes)
		if _, err := rand.Read(id); err != nil {
			return err
		}
		signed, err := replica.Seal(o.n.cfg.User, identity.DomainTransaction, &wire.Transaction{
			Genesis: o.genesis.Hash[:], Signer: public[:], Id: id, Base: base, Window: replica.WindowMax,
			Atomic: true, Operations: []*wire.Operation{o.op},
		})
		if err != nil {
			return explainLocked(err)
		}
		o.signed = signed
	}
	return wire.WriteFrame(s, &wire.PushRequest{Transaction: o.signed})
}

// explainLocked says what a caller can do whose node can't sign in the user's name.
func explainLocked(err error) error {
	if !errors.Is(err, identity.ErrLocked) {
		return err
	}
	return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "this can't be signed in your name: "+err.Error(),
		"nothing was changed; where your key is, and who can sign with it: peer id show")
}

// RefusalOf turns a refused transaction into an error.
func RefusalOf(o *wire.Outcome) error {
	for _, r := range append([]*wire.Result{o.GetResult()}, o.GetResults()...) {
		switch r.GetCode() {
		case wire.Code_CODE_OK:
		case wire.Code_CODE_NOT_ALLOWED:
			return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, r.GetDetail(), "nothing was changed; who has which role: peer repo show")
		case wire.Code_CODE_LAST_OWNER:
			return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, r.GetDetail(), "nothing was changed; hand it over first: peer repo allow REPO OWNER --role owner")
		default:
			return failure(wire.FailureCode_FAILURE_BAD_REQUEST, r.GetDetail(), "nothing was changed")
		}
	}
	return nil
}
