package node

import (
	"context"
	"io"
	"sync"

	"peer/wire"
)

// Splice copies both ways between two streams until both directions ended. An
// end of one side's writing is passed on; an error, or the end of ctx, resets both.
func Splice(ctx context.Context, a, b wire.Stream) {
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
