package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"peer/git"
	"peer/wire"
)

// tunnelBytes is how much is copied at a time.
const tunnelBytes = 128 << 10

// connect answers "connect SERVICE". For what reads, it joins git with the same
// service on a replica, and then the dialogue is over; pushes go another way.
func (r *remoteHelper) connect(ctx context.Context, service string) (done bool, err error) {
	var intent wire.Intent
	switch service {
	case "git-upload-pack":
		intent = wire.Intent_INTENT_FETCH
	case "git-upload-archive":
		intent = wire.Intent_INTENT_ARCHIVE
	default:
		return false, r.reply("fallback\n")
	}
	var listing *git.Listing
	s, err := r.open(ctx, intent, r.fetchPatience, func(s *session) (err error) {
		if wantsProof(intent) {
			listing, err = r.prove(ctx, s)
			return err
		}
		return r.archive()
	})
	if err != nil {
		return true, err
	}
	if s.welcome.GetStale() {
		warn(r.errs, "no leader confirmed this: it is %s as of index %d, and may be older than the last push",
			r.client.address.Name, s.welcome.GetIndex())
	}
	if err := r.reply("\n"); err != nil {
		s.abort()
		return true, err
	}
	return true, r.tunnel(ctx, s, intent, listing)
}

// archive says that nothing proves one, or refuses it. No replica can prove any: so this
// is not less than what the home has seen proved before, and that counts for nothing here.
func (r *remoteHelper) archive() error {
	return r.unproved(pin{}, false, "what git archive gets is not proved: "+r.client.address.Name+" is believed as this replica shows it",
		"clone it, which is proved, and have git archive there")
}

// tunnel copies both ways until the replica has said all. When the stream
// breaks it returns at once, for git would wait for ever for an answer to its
// next request. The goroutine that reads from git can't be interrupted there,
// and ends with the process. In a fetch the replica speaks only when git asked it
// for something, and where there is a listing that is what git is told.
func (r *remoteHelper) tunnel(ctx context.Context, s *session, intent wire.Intent, listing *git.Listing) error {
	copied := make(chan error, 1)
	if intent == wire.Intent_INTENT_FETCH {
		go func() { copied <- r.speak(s, listing) }()
	} else {
		go func() {
			// The bytes that follow the connect line may lie in the reader already.
			_, err := io.CopyBuffer(struct{ io.Writer }{s.stream}, struct{ io.Reader }{r.in.in}, make([]byte, tunnelBytes))
			if err == nil {
				_ = s.stream.CloseWrite()
			} else {
				_ = s.stream.Reset()
			}
		}()
		go func() {
			_, err := io.CopyBuffer(struct{ io.Writer }{r.out}, struct{ io.Reader }{s.stream}, make([]byte, tunnelBytes))
			copied <- err
		}()
	}
	var err error
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		s.abort()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var breach *git.BreachError
		if errors.As(err, &breach) {
			return fmt.Errorf("%s: %w", r.client.address.Name, &protocolError{breach.Why})
		}
		return fmt.Errorf("%s: the connection to the replica broke: %w", r.client.address.Name, err)
	}
	s.close()
	return nil
}

// speak has git speak to the replica; where there is a listing, for all but the refs.
func (r *remoteHelper) speak(s *session, listing *git.Listing) error {
	if err := git.AnswerLsRefs(r.in.in, s.stream, s.stream, r.out, listing); err != nil {
		return err
	}
	// Git has what it asked for. The replica may end in good order, if it does so soon.
	_ = s.timely(func() error {
		err := s.stream.CloseWrite()
		_, _ = io.CopyN(io.Discard, s.stream, tunnelBytes)
		return err
	})
	return nil
}
