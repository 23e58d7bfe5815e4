package gitd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"peer/identity"
	"peer/wire"
)

// A brokenError ends a connection in the middle, where a refusal would be noise
// among git's own bytes.
type brokenError struct{ error }

func (e *brokenError) Unwrap() error { return e.error }

// refusalText is what a client hears of an error before git has spoken: nothing
// if it isn't a git client, or not any more.
func refusalText(err error) string {
	var broken *brokenError
	var refusal *Refusal
	switch {
	case err == nil, errors.As(err, &broken):
		return ""
	case errors.Is(err, ErrNotFound):
		return "no such repository, or it is not yours to read"
	case errors.Is(err, errBadPath):
		return errBadPath.Error()
	case errors.As(err, &refusal):
		return refusal.Text
	}
	return "this node could not serve the repository: its log says why"
}

func refused(err error) bool {
	var refusal *Refusal
	return errors.Is(err, errBadPath) || errors.As(err, &refusal)
}

// opening bounds how long a backend may take to open something, and not what it
// opened.
func opening[T any](cancel context.CancelCauseFunc, open func() (T, error)) (T, error) {
	timer := time.AfterFunc(openTimeout, func() {
		cancel(&Refusal{fmt.Sprintf("no replica answers within %v: try again", openTimeout)})
	})
	defer timer.Stop()
	return open()
}

// answer serves one request. Errors come before git has spoken, unless they are
// a *brokenError.
func (s *Server) answer(c *conn, q request) error {
	repo, err := q.address(s.o.Backend.Owner)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if q.service == ReceivePack {
		return s.receivePack(c, q, repo)
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	stream, err := opening(cancel, func() (wire.Stream, error) {
		return s.o.Backend.Open(ctx, repo, q.service, q.version)
	})
	if err != nil {
		return err
	}
	if err := s.tunnel(c, stream); err != nil {
		return &brokenError{err}
	}
	return nil
}

// receivePack refuses a push, or serves it.
func (s *Server) receivePack(c *conn, q request, repo identity.Address) error {
	switch {
	case !s.o.Push:
		return &Refusal{"this port is read-only: push to " + repo.URL()}
	case !c.local():
		return &Refusal{"this port takes pushes from its own machine only: push to " + repo.URL()}
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	push, err := opening(cancel, func() (Push, error) { return s.o.Backend.OpenPush(ctx, repo) })
	if err != nil {
		return err
	}
	defer push.Close()
	return s.takePush(ctx, c, q, push)
}

// plainLine makes text fit for one line of a terminal.
func plainLine(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > refusalBytesMax {
		text = strings.ToValidUTF8(text[:refusalBytesMax], "") + "…"
	}
	return text
}
