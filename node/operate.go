package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// operation is one signed operation on its way into a group's log. It brings no
// objects, so all of it can be sent again.
type operation struct {
	c       *Client
	genesis *replica.Genesis
	op      *wire.Operation
	// sent is made for the first listing. Every further attempt sends the same
	// bytes: whatever became of an earlier one, the operation happens once.
	sent *replica.Sent
	// list is shown what is listed before it, part by part. Default: nobody looks.
	list func([]*wire.Ref)
}

// operateAgain is the pause between two attempts.
const operateAgain = 100 * time.Millisecond

// operate signs one operation in the user's name and has the group decide it,
// through changes of the leader. Where it is refused what was decided comes with the error.
func (c *Client) operate(ctx context.Context, repo identity.RepoID, op *wire.Operation) (*replica.Done, error) {
	o, err := c.newOperation(ctx, repo, op)
	if err != nil {
		return nil, err
	}
	return o.run(ctx)
}

func (c *Client) newOperation(ctx context.Context, repo identity.RepoID, op *wire.Operation) (*operation, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	genesis, err := c.locate(ctx, repo)
	if err != nil {
		return nil, err
	}
	if configure := op.GetConfigure(); configure != nil {
		configure.Configuration = c.certified(genesis)
	}
	return &operation{c: c, genesis: genesis, op: op, list: func([]*wire.Ref) {}}, nil
}

// run tries until there is an outcome, or the time is up.
func (o *operation) run(ctx context.Context) (*replica.Done, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		done, err := o.attempt(ctx)
		if err == nil {
			return done, RefusalOf(done.Outcome)
		}
		if o.final(err) {
			return nil, o.explain(err)
		}
		select {
		case <-time.After(operateAgain):
		case <-ctx.Done():
			return nil, o.explain(err)
		}
	}
}

// final says that another attempt can't change anything.
func (o *operation) final(err error) bool {
	var refused *FailureError
	if errors.As(err, &refused) && refused.F.GetCode() == wire.FailureCode_FAILURE_NOT_FOUND {
		return true // the repository ended, perhaps by this very operation
	}
	// As long as something may have happened, somebody may know the outcome.
	return !o.maybe() && !worthAnother(err)
}

func (o *operation) maybe() bool { return o.sent != nil && o.sent.Maybe }

// explain never calls a refusal what may have been committed.
func (o *operation) explain(err error) error {
	if !o.maybe() {
		return err
	}
	f := failure(wire.FailureCode_FAILURE_NO_QUORUM,
		fmt.Sprintf("%s: transaction %x was sent, and whether it was committed is not known (%v)", o.genesis.Name, o.sent.Transaction.GetId(), err),
		"look before you type it again: peer log "+addressOf(o.genesis).URL())
	f.F.Unknown = true
	return f
}

// certified names the configuration in force as far as this client knows, which it
// checked, so that whoever signs for the owner confirms it. Empty: that of the genesis.
func (c *Client) certified(genesis *replica.Genesis) []byte {
	proved := c.members.lineage(genesis.Repo)
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

// attempt is one session's part.
func (o *operation) attempt(ctx context.Context) (*replica.Done, error) {
	s, err := o.c.Session(ctx, o.genesis.Repo, true)
	if err != nil {
		return nil, err
	}
	s.Stream = bind(ctx, s.Stream)
	defer s.Close()
	deadline, _ := ctx.Deadline()
	if err := s.SetDeadline(deadline); err != nil {
		return nil, err
	}
	if err := o.c.greet(s, o.genesis, wire.Intent_INTENT_PUSH); err != nil {
		return nil, err
	}
	base, err := o.readListing(s)
	if err != nil {
		return nil, err
	}
	if err := o.sign(base); err != nil {
		return nil, err
	}
	done, err := o.send(s)
	var refused *FailureError
	if err != nil && (!errors.As(err, &refused) || refused.F.GetUnknown()) {
		o.sent.Maybe = true
	}
	return done, err
}

// readListing reads a listing to its end, and says of which index it is.
func (o *operation) readListing(s wire.Stream) (base uint64, err error) {
	for {
		m, err := nextToClient(s)
		if err != nil {
			return 0, err
		}
		if w := m.GetWelcome(); w != nil {
			base = w.GetIndex()
		}
		o.list(m.GetRefs().GetRefs())
		if m.GetRefs().GetDone() {
			return base, nil
		}
	}
}

func (o *operation) sign(base uint64) error {
	if o.sent != nil {
		return nil
	}
	id := make([]byte, replica.TransactionIDBytes)
	rand.Read(id)
	sent, err := replica.NewSent(o.c.user, o.genesis, id, &wire.Transaction{Base: base, Atomic: true, Operations: []*wire.Operation{o.op}})
	if err != nil {
		return explainLocked(err)
	}
	o.sent = sent
	return nil
}

// send brings the transaction, and believes of the answer what it must be and what the
// receipt proves.
func (o *operation) send(s wire.Stream) (*replica.Done, error) {
	if err := wire.WriteFrame(s, &wire.PushRequest{Transaction: o.sent.Signed}); err != nil {
		return nil, err
	}
	for {
		m, err := nextToClient(s)
		if err != nil {
			return nil, err
		}
		if m.GetDone() == nil {
			continue
		}
		done, err := o.sent.Check(m.GetDone())
		if err == nil && done.Receipt != nil {
			err = o.c.admit(done.Receipt)
		}
		return done, err
	}
}

// explainLocked says what a caller can do where nothing can be signed in the user's name.
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
