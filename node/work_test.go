package node

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// What works for a group is told when the group ends, and waited for; nothing
// begins after that.
func TestGroupWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("dropped")
		w := newGroupWork(t.Context())
		told := make(chan error, 1)
		var finished time.Time
		go func() {
			_ = w.during(t.Context(), func(ctx context.Context) error {
				<-ctx.Done()
				told <- context.Cause(ctx)
				time.Sleep(time.Second) // a child that ends when it likes
				finished = time.Now()
				return nil
			})
		}()
		synctest.Wait()
		w.end(why)
		if finished.IsZero() {
			t.Error("it did not wait")
		}
		if err := <-told; !errors.Is(err, why) {
			t.Errorf("told %v", err)
		}
		if err := w.during(t.Context(), func(context.Context) error { t.Error("begun after the end"); return nil }); !errors.Is(err, why) {
			t.Errorf("begun: %v", err)
		}
	})
}

// Work ends with who asked for it, too.
func TestGroupWorkOfACaller(t *testing.T) {
	w := newGroupWork(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.during(ctx, func(ctx context.Context) error { return ctx.Err() }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	w.end(errors.New("dropped"))
}
