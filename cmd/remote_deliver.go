package cmd

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

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

// delivery brings one signed transaction into the log, once.
type delivery struct {
	*replica.Sent
	client   *client
	hasPack  bool
	shallow  [][]byte
	pack     packer
	patience patience
	say      *remoteText

	retried bool // and the person has been told
	heard   bool // a replica has answered
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
	id := make([]byte, replica.TransactionIDBytes)
	rand.Read(id)
	sent, err := replica.NewSent(c.user, genesis, id, &wire.Transaction{Base: base, Atomic: atomic, Operations: ops, PushOptions: options})
	if err != nil {
		return nil, fmt.Errorf("sign the push: %w", err)
	}
	return &delivery{Sent: sent, client: c}, nil
}

func refOperation(u *wire.RefUpdate) *wire.Operation {
	return &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: u}}
}

// send tries until an outcome is known or the patience is at its end. s is the
// session of the listing, perhaps long dead; nil opens a new one. A refusal is a
// *control.Error: then nothing was committed.
func (d *delivery) send(ctx context.Context, s *session) (*replica.Done, error) {
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
func (d *delivery) try(ctx context.Context, s *session) (*replica.Done, error) {
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
		d.Maybe = d.Maybe || a.mayHaveCommitted(err)
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
func (a *attempt) run(ctx context.Context, eager bool) (*replica.Done, error) {
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

func (a *attempt) ask(ctx context.Context) (*replica.Done, error) {
	sendErr := a.session.send(&wire.PushRequest{Transaction: a.Signed, HasPack: a.hasPack, Shallow: a.shallow})
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
			return a.check(kind.Done)
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
func (a *attempt) stream(ctx context.Context) (*replica.Done, error) {
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
			return a.check(kind.Done)
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

// check holds what came against the transaction, and against what this home has
// receipts for, before anything is said about it.
func (d *delivery) check(raw *wire.PushDone) (*replica.Done, error) {
	done, err := d.Check(raw)
	if err != nil {
		return nil, &protocolError{plainText(err.Error(), messageBytesMax)}
	}
	if done.Receipt != nil {
		err = receiptsOf(d.client.pins.dir).admit(done.Receipt)
	}
	return done, err
}

// keepReceipt stores the receipt of a push that is over.
func (d *delivery) keepReceipt(done *replica.Done) error {
	return receiptsOf(d.client.pins.dir).keep(done.Receipt)
}

// final says that another attempt can't change anything.
func (d *delivery) final(err error) bool {
	var local *packError
	if errors.As(err, &local) {
		return true
	}
	// As long as something may have happened, somebody may know the outcome.
	return !d.Maybe && !temporary(err)
}

func (d *delivery) giveUp(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if d.Maybe {
		return hinted(&unknownOutcome{name: d.client.address.Name, id: d.Transaction.GetId(), last: err},
			"run git push again: it is safe, and does nothing if the push was committed after all")
	}
	return err
}

func refusedByReplica(err error) bool {
	var refusal *control.Error
	return errors.As(err, &refusal)
}
