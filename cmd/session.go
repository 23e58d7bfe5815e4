package cmd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

const (
	nonceBytes = 16

	// sessionOpenMax bounds finding a replica and hearing its welcome.
	sessionOpenMax = 20 * time.Second
)

// unreachable says that there is no way to any replica from here at all: no
// node runs for this home, and none could be made.
type unreachable struct{ error }

func (e *unreachable) Unwrap() error { return e.error }

// errNobody says that no replica answered at all.
var errNobody = fmt.Errorf("no replica answers within %v", sessionOpenMax)

// client opens sessions with one repository, in the name of a home's user.
type client struct {
	address identity.Address
	user    identity.Signer
	pins    pins
	// unpinned takes what has no pin yet, so that it gets none; nil: it gets one.
	unpinned *gitdPins
	dial     func(context.Context) (dialer, error)
	dialer   dialer // nil until needed, and again after it failed

	gitVersion wire.GitVersion // that a FETCH begins with
	prove      bool            // a FETCH is to begin with a listing that is proved
	known      proved          // as of the last hello that asked for that
}

// Close lets go of the way to the replicas.
func (c *client) Close() error {
	if c.dialer == nil {
		return nil
	}
	err := c.dialer.Close()
	c.dialer = nil
	return err
}

// open says hello and checks the welcome. A refusal is a *control.Error. The
// session lives until it is closed, or ctx ends.
func (c *client) open(ctx context.Context, intent wire.Intent) (*session, error) {
	// A person is asked for the passphrase before a replica waits for the hello.
	if sealed, ok := c.user.(*sealedKey); ok {
		if err := sealed.unlock(); err != nil {
			return nil, err
		}
	}
	pinned, err := c.lookup(c.address.RepoID())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(sessionOpenMax, func() { cancel(errNobody) })
	defer timer.Stop()
	stream, err := c.stream(ctx, intent == wire.Intent_INTENT_PUSH)
	if err == nil {
		s := &session{stream: stream, cancel: cancel}
		// Reset is what makes a blocked read or write return.
		s.unwatch = context.AfterFunc(ctx, func() { _ = stream.Reset() })
		var hello *wire.Signed
		if hello, err = c.hello(intent, pinned, stream.To); err == nil {
			err = s.greet(hello, c.address)
		}
		if err == nil {
			err = c.admit(s, pinned)
		}
		var refusal *control.Error
		if errors.As(err, &refusal) && refusal.Code == wire.FailureCode_FAILURE_BEHIND {
			err = c.behind(pinned, err)
		}
		if err == nil {
			err = c.remember(ctx, s, pinned, s.welcome.GetIndex())
		}
		if err == nil && timer.Stop() {
			return s, nil
		}
		s.unwatch()
		_ = stream.Reset()
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	cancel(err)
	return nil, err
}

func (c *client) stream(ctx context.Context, push bool) (wire.Session, error) {
	if c.dialer == nil {
		d, err := c.dial(ctx)
		if err != nil {
			return wire.Session{}, &unreachable{err}
		}
		c.dialer = d
	}
	stream, err := c.dialer.Session(ctx, c.address.RepoID().String(), push)
	if err == nil {
		return stream, nil
	}
	// A refusal came over a way that works. Any other is looked for anew.
	var refusal *control.Error
	if !errors.As(err, &refusal) || refusal.Unknown {
		_ = c.Close()
	}
	return wire.Session{}, err
}

// hello is for the replica that to names alone: nobody else can open a session by it.
func (c *client) hello(intent wire.Intent, pinned pin, to []byte) (*wire.Signed, error) {
	repo, user := c.address.RepoID(), c.user.Public()
	nonce := make([]byte, nonceBytes)
	rand.Read(nonce)
	prove := c.prove && wantsProof(intent)
	if prove {
		c.known = readProved(c.pins.dir, pinned)
	}
	return replica.Seal(c.user, identity.DomainHello, &wire.Hello{
		Version: wire.SessionVersion, Repo: repo[:], Genesis: pinned.hash(), User: user[:],
		Nonce: nonce, SeenIndex: pinned.SeenIndex, Intent: intent, GitVersion: c.gitVersion,
		To: to, Prove: prove, ProvedIndex: c.known.index,
	})
}

// lookup is [pins.lookup], and what the git daemon knows besides.
func (c *client) lookup(repo identity.RepoID) (pin, error) {
	found, err := c.pins.lookup(repo)
	if err == nil && found.Genesis == "" && c.unpinned != nil {
		return c.unpinned.lookup(repo), nil
	}
	return found, err
}

// remember moves the seen index on, so that no replica ever answers this home
// from before what it has seen.
func (c *client) remember(ctx context.Context, s *session, pinned pin, index uint64) error {
	if pinned.ofGitd {
		return c.unpinned.remember(s.genesis.Repo, s.genesis.Name, s.genesis.Hash, index)
	}
	return c.pins.remember(ctx, s.genesis.Repo, s.genesis.Name, s.genesis.Hash, index)
}

// admit compares a welcome with what this home remembers.
func (c *client) admit(s *session, pinned pin) error {
	if seen := s.genesis.Hash.String(); pinned.Genesis != "" && pinned.Genesis != seen {
		if pinned.ofGitd {
			return gitdPinConflict(s.genesis.Repo, s.genesis.Name, pinned.Genesis, seen)
		}
		return c.pins.conflict(s.genesis.Repo, s.genesis.Name, pinned.Genesis, seen)
	}
	if s.welcome.GetIndex() < pinned.SeenIndex {
		return c.behind(pinned, &protocolError{fmt.Sprintf("it answers from index %d, but index %d was seen before", s.welcome.GetIndex(), pinned.SeenIndex)})
	}
	return nil
}

// behind says how a person goes on when all that answers is older than what this
// home has seen. The index seen was some member's word and nothing proves it, so
// either that member was wrong, or the group lost what it had: a program can't tell.
func (c *client) behind(pinned pin, err error) error {
	if pinned.ofGitd {
		return hinted(err, gitdPinHint)
	}
	return hinted(err, fmt.Sprintf("ask the owner whether the repository was set back; to take older answers, set seen_index of %s in %s to 0",
		c.address.RepoID(), c.pins.path()))
}

// temporary says whether the same question may get another answer from another
// replica, or from the next leader.
func temporary(err error) bool {
	var refusal *control.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case wire.FailureCode_FAILURE_NOT_LEADER, wire.FailureCode_FAILURE_NO_QUORUM, wire.FailureCode_FAILURE_BUSY:
			return true
		}
		return refusal.Unknown
	}
	var unproved *unprovedError
	if errors.As(err, &unproved) {
		return unproved.soon
	}
	var conflict *genesisConflict
	var broken *protocolError
	var alone *unreachable
	final := errors.As(err, &conflict) || errors.As(err, &broken) || errors.As(err, &alone) || errors.Is(err, errNobody) ||
		errors.Is(err, errPins) || errors.Is(err, identity.ErrLocked)
	return !final
}
