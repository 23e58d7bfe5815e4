package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

const (
	// ingestWaitMax bounds the silence of a replica that indexes and checks a
	// pack, at 50 MB/s and more.
	ingestWaitMax = 10 * time.Minute
	// outcomeWaitMax bounds the wait for an outcome once all has been sent,
	// however often the replica says that it is busy.
	outcomeWaitMax = time.Hour
)

// delivery brings one signed transaction into the log, once. Whatever breaks on
// the way, the same bytes are sent again: the ID makes a second arrival harmless,
// and brings the first one's outcome back.
type delivery struct {
	client   *client
	genesis  *replica.Genesis
	signed   *wire.Signed
	tx       *wire.Transaction
	hasPack  bool
	shallow  [][]byte
	pack     packer
	patience patience
	say      *remoteText

	retried bool // and the person has been told
	heard   bool // a replica has answered
	// maybe is set once an attempt ended such that the transaction may have been
	// committed. Then no refusal of a later one proves that nothing happened.
	maybe bool
	// receipt is what proves the outcome, and proof the same as it was sent; nil: nothing does.
	receipt *replica.Receipt
	proof   *wire.Receipt
}

// unknownOutcome says that the time was up and nobody could tell whether the
// transaction was committed.
type unknownOutcome struct {
	name string
	id   []byte
	last error
}

func (e *unknownOutcome) Error() string {
	return fmt.Sprintf("push to %s: transaction %s was sent, and whether it was committed is not known (%v)", e.name, hex.EncodeToString(e.id), e.last)
}

func (e *unknownOutcome) Unwrap() error { return e.last }

// newDelivery signs a transaction. base is the index that the person has seen.
func newDelivery(c *client, genesis *replica.Genesis, base uint64, atomic bool, ops []*wire.Operation, options []string) (*delivery, error) {
	public, id := c.user.Public(), make([]byte, replica.TransactionIDBytes)
	rand.Read(id)
	tx := &wire.Transaction{
		Genesis: genesis.Hash[:], Signer: public[:], Id: id, Base: base, Window: replica.WindowMax,
		Atomic: atomic, Operations: ops, PushOptions: options,
	}
	signed, err := replica.Seal(c.user, identity.DomainTransaction, tx)
	if err != nil {
		return nil, fmt.Errorf("sign the push: %w", err)
	}
	return &delivery{client: c, genesis: genesis, signed: signed, tx: tx}, nil
}

func refOperation(u *wire.RefUpdate) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: u}}
}

// send tries until an outcome is known or the patience is at its end. s is the
// session of the listing, perhaps long dead; nil opens a new one. A refusal is a
// *control.Error: then nothing was committed.
func (d *delivery) send(ctx context.Context, s *session) (*wire.PushDone, error) {
	listed := s != nil
	for {
		done, err := d.try(ctx, s)
		if err == nil {
			return done, nil
		}
		if ctx.Err() != nil || d.final(err) || !d.patience.wait(ctx) {
			return nil, d.giveUp(ctx, err)
		}
		// That the listing's session had died says nothing about the group.
		if died := listed && !d.heard && !refusedByReplica(err); !died && !d.retried {
			d.retried = true
			d.say.line(retryReason(err))
		}
		s, listed = nil, false
	}
}

// try is one attempt, in a session of its own unless one is given.
func (d *delivery) try(ctx context.Context, s *session) (*wire.PushDone, error) {
	eager := s != nil
	if s == nil {
		var err error
		if s, err = d.client.open(ctx, wire.Intent_INTENT_PUSH); err != nil {
			return nil, err
		}
		if _, err = s.refs(); err != nil {
			s.abort()
			return nil, err
		}
	}
	a := &attempt{delivery: d, session: s}
	done, err := a.run(ctx, eager)
	if err != nil {
		s.abort()
		d.maybe = d.maybe || a.mayHaveCommitted(err)
		return nil, err
	}
	s.close()
	return done, nil
}

// attempt is one session's part in a delivery.
type attempt struct {
	*delivery
	session *session
	pack    *packStream // nil unless the pack is being made
	skipped bool        // the replica has the pack already
}

// mayHaveCommitted says whether the transaction may be committed although the attempt
// ended with err: the replica had all that it needs, and did not say no.
func (a *attempt) mayHaveCommitted(err error) bool {
	var refusal *control.Error
	if errors.As(err, &refusal) && !refusal.Unknown {
		return false
	}
	return !a.hasPack || a.skipped || a.pack != nil && a.pack.complete.Load()
}

// run sends the transaction, and its pack if the replica wants it. With eager
// set the pack is made before the replica has answered.
func (a *attempt) run(ctx context.Context, eager bool) (*wire.PushDone, error) {
	if a.hasPack && eager {
		a.pack = a.startPack(ctx, a.session)
	}
	done, err := a.ask(ctx)
	if a.pack != nil {
		// Whatever ends the stream makes the pack fail; only our own failure counts.
		if local := a.pack.stop(); local != nil && err != nil {
			err = local
		}
	}
	return done, err
}

func (a *attempt) ask(ctx context.Context) (*wire.PushDone, error) {
	sendErr := a.session.send(&wire.PushRequest{Transaction: a.signed, HasPack: a.hasPack, Shallow: a.shallow})
	for until := time.Now().Add(outcomeWaitMax); time.Now().Before(until); {
		frame, err := a.session.receive() // after a failed write too: it may say why
		if err != nil && sendErr != nil && !refusedByReplica(err) {
			err = sendErr
		}
		if err != nil {
			return nil, err
		}
		a.heard = true
		switch kind := frame.GetKind().(type) {
		case *wire.ToClient_Progress:
			a.say.progress(kind.Progress.GetText())
		case *wire.ToClient_Done:
			return kind.Done, a.check(kind.Done)
		case *wire.ToClient_Go:
			if a.skipped {
				return nil, &protocolError{"it says go twice"}
			}
			if a.hasPack && !kind.Go.GetSkipPack() {
				return a.stream(ctx)
			}
			a.skipped = true
		default:
			return nil, &protocolError{fmt.Sprintf("a %T during a push", kind)}
		}
	}
	return nil, errSilent
}

// stream lets the pack flow and reads until the transaction's fate. The replica
// may refuse at any moment, so reading never waits for writing. While the pack
// is on its way its writer sets the deadlines: making it may take long, and that
// is not the replica's fault.
func (a *attempt) stream(ctx context.Context) (*wire.PushDone, error) {
	if a.pack == nil {
		a.pack = a.startPack(ctx, a.session)
	}
	a.pack.release()
	until := time.Time{}
	for {
		frame, err := a.session.read()
		if err != nil {
			return nil, err
		}
		switch kind := frame.GetKind().(type) {
		case *wire.ToClient_Progress:
			a.say.progress(kind.Progress.GetText())
		case *wire.ToClient_Done:
			return kind.Done, a.check(kind.Done)
		default:
			return nil, &protocolError{fmt.Sprintf("a %T instead of an outcome", kind)}
		}
		if !a.pack.complete.Load() {
			continue
		}
		if until.IsZero() {
			until = time.Now().Add(outcomeWaitMax)
		}
		if time.Now().After(until) {
			return nil, errSilent
		}
		if err := a.session.stream.SetDeadline(time.Now().Add(ingestWaitMax)); err != nil {
			return nil, err
		}
	}
}

// check refuses an outcome that is not this transaction's. A refusal of the
// whole needs no proof: a replica can always refuse.
func (d *delivery) check(done *wire.PushDone) error {
	outcome, public := done.GetOutcome(), d.client.user.Public()
	hash := sha256.Sum256(d.signed.GetBody())
	ours := bytes.Equal(outcome.GetId(), d.tx.GetId()) && bytes.Equal(outcome.GetSigner(), public[:])
	refused := outcome.GetResult().GetCode() != wire.Code_CODE_OK
	switch {
	case outcome == nil:
		return &protocolError{"a push ends without an outcome"}
	case refused && (ours || !d.maybe):
		return nil
	case !ours || !bytes.Equal(outcome.GetTxSha256(), hash[:]):
		return &protocolError{"the outcome is that of another transaction"}
	case len(outcome.GetResults()) != len(d.tx.GetOperations()):
		return &protocolError{fmt.Sprintf("%d results for %d operations", len(outcome.GetResults()), len(d.tx.GetOperations()))}
	}
	return d.prove(done)
}

// final says that another attempt can't change anything.
func (d *delivery) final(err error) bool {
	var local *packError
	if errors.As(err, &local) {
		return true
	}
	// As long as something may have happened, somebody may know the outcome.
	return !d.maybe && !temporary(err)
}

func (d *delivery) giveUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if d.maybe {
		return hinted(&unknownOutcome{name: d.client.address.Name, id: d.tx.GetId(), last: err},
			"run git push again: it is safe, and does nothing if the push was committed after all")
	}
	return err
}

func refusedByReplica(err error) bool {
	var refusal *control.Error
	return errors.As(err, &refusal)
}
