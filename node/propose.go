package node

import (
	"context"
	"errors"
	"time"

	"peer/replica"
	"peer/wire"
)

// commit proposes the entry and waits until its transaction was applied. Only
// that is an outcome: a lost leadership or a timeout is none.
func (u *push) commit(ctx context.Context, entry *wire.Entry) (*wire.Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	answer := make(chan *wire.Outcome, 1)
	entry.StampUnixMs = time.Now().UnixMilli()
	type proposal struct {
		known *wire.Outcome
		err   error
	}
	proposed, err := ask(ctx, u.n, func() proposal {
		if u.g.problem != nil {
			return proposal{err: u.g.problem}
		}
		if u.g.doubt != nil {
			return proposal{err: failure(wire.FailureCode_FAILURE_NO_QUORUM, u.g.doubt.Error(), "nothing was changed; start the nodes that do not answer, then push again: peer why "+u.g.genesis.Name)}
		}
		if ctx.Err() != nil {
			return proposal{err: context.Cause(ctx)} // the pusher has been told already
		}
		// Another session may have been faster since courtesy asked.
		if known := u.g.core.Table().Known(u.signer, u.tx.GetId(), u.key.sum[:]); known != nil {
			return proposal{known: known}
		}
		err := u.g.core.Propose(entry)
		if err == nil {
			u.g.waiting[u.key] = append(u.g.waiting[u.key], answer)
			u.n.touch(u.g)
		}
		return proposal{err: err}
	})
	if err != nil {
		return nil, errUnknown() // the loop may be proposing it this moment
	}
	if errors.Is(proposed.err, replica.ErrNotLeader) {
		return nil, failure(wire.FailureCode_FAILURE_NOT_LEADER, "the leader changed during the push", "push again")
	}
	if proposed.err != nil {
		return nil, proposed.err
	}
	if proposed.known != nil {
		if err := u.g.dropLate(u.signer[:], u.tx.GetId(), u.key.sum[:], entry.GetPayload(), 0); err != nil {
			u.g.log.Warn("staged payload stays behind", "error", err)
		}
		return proposed.known, nil
	}
	u.n.cfg.Fail(failProposed)
	select {
	case outcome := <-answer:
		return outcome, nil
	case <-ctx.Done():
	}
	u.n.post(func() {
		if u.g.waiting[u.key] = without(u.g.waiting[u.key], answer); len(u.g.waiting[u.key]) == 0 {
			delete(u.g.waiting, u.key)
		}
	})
	return nil, errUnknown()
}

// errUnknown is no outcome: only the transaction's ID can tell.
func errUnknown() error {
	f := failure(wire.FailureCode_FAILURE_NO_QUORUM, "too few replicas acknowledged the push in time: whether it will commit is not known yet",
		"push again: the same transaction is never applied twice")
	f.F.Unknown = true
	return f
}

func without(list []chan<- *wire.Outcome, ch chan<- *wire.Outcome) []chan<- *wire.Outcome {
	for i, c := range list {
		if c == ch {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
