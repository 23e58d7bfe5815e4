package cmd

import (
	"context"
	"fmt"
	"io"

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
	s, err := r.open(ctx, intent, fetchPatience, func(*session) error { return nil })
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
	return true, r.tunnel(ctx, s)
}

// tunnel copies both ways until the replica has said all. When the stream
// breaks it returns at once, for git would wait for ever for an answer to its
// next request. The goroutine that reads from git can't be interrupted there,
// and ends with the process.
func (r *remoteHelper) tunnel(ctx context.Context, s *session) error {
	go func() {
		// The bytes that follow the connect line may lie in the reader already.
		if _, err := io.CopyBuffer(struct{ io.Writer }{s.stream}, struct{ io.Reader }{r.in.in}, make([]byte, tunnelBytes)); err == nil {
			_ = s.stream.CloseWrite()
		}
	}()
	_, err := io.CopyBuffer(struct{ io.Writer }{r.out}, struct{ io.Reader }{s.stream}, make([]byte, tunnelBytes))
	if err != nil {
		s.abort()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: the connection to the replica broke: %w", r.client.address.Name, err)
	}
	s.close()
	return nil
}
