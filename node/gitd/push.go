package gitd

import (
	"context"
	"io"

	"peer/git"
)

// Push is one push session with a group.
type Push interface {
	// Refs are those that the client may see, and the format of all object IDs.
	Refs() ([]git.Ref, git.Format)

	// Deliver brings a transaction into the log. The verdicts are one for each
	// update, in order; an error says that none was committed, or that nobody
	// knows, and what it says is for the client if it is a *Refusal.
	Deliver(ctx context.Context, t *Transaction) ([]Verdict, error)

	// Close ends the session. It may be called twice.
	Close()
}

// Transaction is what a client asks for in one push.
type Transaction struct {
	Updates []Update
	Atomic  bool
	Options []string
	Shallow []git.OID // the client's shallow commits

	// Pack opens the pack, from its beginning each time. Nil: there are no
	// objects in this push.
	Pack func() io.ReadCloser
	// Progress and Say show text to the person who pushes: Progress what is of no
	// use to a script, Say a line that everybody is to see. They never fail, and
	// are to be used only until Deliver returns.
	Progress io.Writer
	Say      func(line string)
}

// Update moves one ref. A zero Old makes it, a zero New deletes it.
type Update struct {
	Name     string
	Old, New git.OID
}

// Verdict is what became of an update: empty if it was committed, otherwise why not.
type Verdict string
