package cmd

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"peer/wire"
)

// packer starts making the pack of a push. The reader's Close says whether the
// pack was whole.
type packer func(context.Context) (io.ReadCloser, error)

// packError says that the pack could not be made here: no replica is to blame.
type packError struct{ error }

func (e *packError) Error() string { return "pack the objects: " + e.error.Error() }
func (e *packError) Unwrap() error { return e.error }

// packStream is a pack on its way to a replica.
type packStream struct {
	session  *session
	cancel   context.CancelFunc
	gate     chan struct{} // closed when the replica wants the bytes
	released bool
	done     chan struct{}
	err      error // a *packError or nil, once done is closed

	// complete is set just before the last chunk goes out: from then on the
	// replica may have all it needs.
	complete atomic.Bool
}

// startPack begins to make the pack. Nothing of it leaves before release.
func (d *delivery) startPack(ctx context.Context, s *session) *packStream {
	ctx, cancel := context.WithCancel(ctx)
	p := &packStream{session: s, cancel: cancel, gate: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if err := p.run(ctx, d.pack); err != nil && ctx.Err() == nil {
			p.err = &packError{err}
			_ = s.stream.Reset() // the replica must not take the part for the whole
		}
	}()
	return p
}

func (p *packStream) release() {
	p.released = true
	close(p.gate)
}

// stop returns when the pack's process has ended, with our own failure, if any.
func (p *packStream) stop() error {
	p.cancel()
	if p.released {
		select {
		case <-p.done:
		default:
			_ = p.session.stream.Reset() // frees a blocked write
		}
	}
	<-p.done
	return p.err
}

// run returns only errors of our own. Those of the stream are the reader's to see.
func (p *packStream) run(ctx context.Context, pack packer) error {
	source, err := pack(ctx)
	if err != nil {
		return err
	}
	open := true
	buf := make([]byte, wire.ChunkBytes)
	for open && err == nil {
		var n int
		n, err = io.ReadFull(source, buf)
		if n > 0 {
			open = p.write(ctx, buf[:n])
		}
	}
	if !open {
		p.cancel() // the error that the child's death will be is not ours
	} else if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.Join(err, source.Close())
	}
	if err := source.Close(); err != nil || !open {
		return err
	}
	p.finish(ctx)
	return nil
}

// write sends one chunk; false when there is no stream any more.
func (p *packStream) write(ctx context.Context, chunk []byte) bool {
	select {
	case <-p.gate:
	case <-ctx.Done():
		return false
	}
	return p.session.timely(func() error { return wire.WriteChunk(p.session.stream, chunk) }) == nil
}

// finish sends the empty chunk that ends the pack. Now the replica has to say
// something in time, so the deadline stays.
func (p *packStream) finish(ctx context.Context) {
	select {
	case <-p.gate:
	case <-ctx.Done():
		return
	}
	p.complete.Store(true)
	_ = p.session.stream.SetDeadline(time.Now().Add(ingestWaitMax))
	_ = wire.WriteChunk(p.session.stream, nil)
}
