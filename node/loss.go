package node

import (
	"errors"

	"peer/replica"
)

// A lossError is why a replica can never take part again under its seat: what it
// acknowledged is no longer all there, or was changed. Another seat is the cure.
// All other problems may be over with the next start of the node.
type lossError struct{ err error }

func (e *lossError) Error() string { return e.err.Error() }
func (e *lossError) Unwrap() error { return e.err }

// isLoss says whether the group should give up the seat of a replica with this problem.
func isLoss(problem error) bool {
	var loss *lossError
	var lost *replica.LostLogError
	return errors.As(problem, &loss) || errors.As(problem, &lost) || errors.Is(problem, replica.ErrDiverged) || errors.Is(problem, errSeatLost)
}

// loseSeat takes this replica out of its group for good: it must not come back
// after a restart, whatever that would find. It is called on the loop's goroutine.
func (g *group) loseSeat(err error) {
	if perr := g.n.cfg.Store.Put(leftKey(g.genesis.Repo), []byte(err.Error())); perr != nil {
		g.log.Error("not remembered that this replica is out", "error", perr)
	}
	g.leave(&lossError{err})
}
