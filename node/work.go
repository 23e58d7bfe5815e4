package node

import (
	"context"
	"sync"
)

// groupWork is what runs beside the loop for one group and writes into its
// repository. A replica that is dropped waits for it, since git makes directories
// that are missing: a child that still runs would bring back what was put aside.
type groupWork struct {
	ctx    context.Context // ends, with its cause, when the replica is dropped or the node stops
	cancel context.CancelCauseFunc
	mu     sync.Mutex // over beginning, so that none begins once it ended
	all    sync.WaitGroup
}

func newGroupWork(ctx context.Context) *groupWork {
	w := new(groupWork)
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	return w
}

// begin takes part in the work until done is called. It fails once that has ended.
func (w *groupWork) begin() (done func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return nil, context.Cause(w.ctx)
	}
	w.all.Add(1)
	return w.all.Done, nil
}

// end stops the work and waits for it.
func (w *groupWork) end(why error) {
	w.mu.Lock()
	w.cancel(why)
	w.mu.Unlock()
	w.all.Wait()
}

// during does a part of the work, under a context that ends with it and with ctx.
func (w *groupWork) during(ctx context.Context, do func(context.Context) error) error {
	done, err := w.begin()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(w.ctx, func() { cancel(context.Cause(w.ctx)) })()
	return do(ctx)
}
