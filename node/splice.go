package node

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"

	"peer/wire"
)

// splice copies both ways between two streams until both directions ended. An
// end of one side's writing is passed on; an error, or the end of ctx, resets both.
func splice(ctx context.Context, a, b wire.Stream) {
	stop := context.AfterFunc(ctx, func() {
		_ = a.Reset()
		_ = b.Reset()
	})
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(a, b) })
	wg.Go(func() { pipe(b, a) })
	wg.Wait()
	_ = a.Close()
	_ = b.Close()
}

func pipe(from, to wire.Stream) {
	_, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{from}, make([]byte, wire.ChunkBytes))
	if err == nil {
		err = to.CloseWrite()
	}
	if err != nil {
		_ = from.Reset()
		_ = to.Reset()
	}
}

// moving is a stream that fails when nothing moves for a while. What is large is written
// in pieces, so that on a slow link it takes the time that it needs.
type moving struct {
	wire.Stream
	idle time.Duration // zero: idleTimeout
}

func (m moving) Read(p []byte) (int, error) {
	if err := m.extend(); err != nil {
		return 0, err
	}
	return m.Stream.Read(p)
}

func (m moving) Write(p []byte) (written int, err error) {
	for piece := range slices.Chunk(p, wire.ChunkBytes) {
		if err := m.extend(); err != nil {
			return written, err
		}
		n, err := m.Stream.Write(piece)
		if written += n; err != nil {
			return written, err
		}
	}
	return written, nil
}

func (m moving) extend() error {
	idle := m.idle
	if idle == 0 {
		idle = idleTimeout
	}
	return m.SetDeadline(time.Now().Add(idle))
}

// bound is a stream that is reset when a context ends, whoever waits on it.
type bound struct {
	wire.Stream
	stop func() bool
}

func bind(ctx context.Context, s wire.Stream) *bound {
	return &bound{s, context.AfterFunc(ctx, func() { _ = s.Reset() })}
}

func (b *bound) Close() error {
	b.stop()
	return b.Stream.Close()
}

func (b *bound) Reset() error {
	b.stop()
	return b.Stream.Reset()
}
