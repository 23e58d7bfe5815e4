package hook

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	// GiveUpAfter is for how long one delivery is tried.
	GiveUpAfter = 24 * time.Hour
	pauseMin    = time.Second
	pauseMax    = 10 * time.Minute
	// noteEvery is how many entries of no interest a hook passes before its index is
	// saved: fewer than a log keeps.
	noteEvery = 100
)

// hook is one receiver, and the goroutine that tells it.
type hook struct {
	k    *Keeper
	id   string
	repo identity.RepoID

	stop context.CancelFunc
	done chan struct{}

	// failures are the attempts since the last success. Only tell's goroutine touches it.
	failures int
	saved    uint64 // the index that is in the store; likewise

	mu sync.Mutex
	m  *wire.Hook
}

func (h *hook) start() {
	ctx, stop := context.WithCancel(h.k.ctx)
	h.stop, h.done, h.saved = stop, make(chan struct{}), h.m.GetIndex()
	go func() {
		defer close(h.done)
		h.tell(ctx)
	}()
}

// end returns when nothing is told any more.
func (h *hook) end() {
	h.stop()
	<-h.done
}

func (h *hook) view() View {
	h.mu.Lock()
	defer h.mu.Unlock()
	return View{h.id, h.repo, proto.CloneOf(h.m)}
}

// change changes what is known of the hook, without saving it.
func (h *hook) change(f func(*wire.Hook)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f(h.m)
}

func (h *hook) save() error {
	m := h.view().Hook
	raw, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if err := h.k.cfg.Store.Put(keyPrefix+h.id, raw); err != nil {
		return fmt.Errorf("save hook %s: %w", h.id, err)
	}
	h.saved = m.GetIndex()
	return nil
}

// tell tells the receiver of what happens until ctx ends.
func (h *hook) tell(ctx context.Context) {
	for {
		page, err := h.k.cfg.Source.Next(ctx, h.repo, h.view().GetIndex())
		if err == nil {
			err = h.tellPage(ctx, page)
		}
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			h.change(func(m *wire.Hook) {
				if m.GetFailingSinceUnixMs() == 0 {
					m.Problem = "" // it was this node's trouble
				}
			})
			continue
		}
		// This node's trouble: its replica is gone, or its disk.
		h.change(func(m *wire.Hook) { m.Problem = err.Error() })
		h.k.cfg.Log.Warn("a hook waits", "hook", h.id, "error", err)
		if h.pause(ctx) != nil {
			return
		}
	}
}

func (h *hook) tellPage(ctx context.Context, p Page) error {
	if p.MissedFirst > 0 {
		h.change(func(m *wire.Hook) {
			miss(m, p.MissedFirst, p.MissedLast)
			m.Index = max(m.Index, p.MissedLast)
		})
		if err := h.save(); err != nil {
			return err
		}
	}
	for _, e := range p.Events {
		if !slices.Contains(h.view().GetEvents(), e.Kind) {
			continue
		}
		if err := h.deliver(ctx, e); err != nil {
			return err
		}
	}
	h.change(func(m *wire.Hook) { m.Index = max(m.Index, p.Through) })
	if p.Through < h.saved+noteEvery {
		return nil
	}
	return h.save()
}

// miss notes entries that the receiver is told nothing of.
func miss(m *wire.Hook, first, last uint64) {
	if m.GetMissedFirst() == 0 {
		m.MissedFirst = first
	}
	m.MissedLast = last
}

// deliver tries until the receiver takes it, or it is given up. An error is ctx's end,
// or this node's own.
func (h *hook) deliver(ctx context.Context, e Event) error {
	d, err := h.k.deliveryOf(ctx, h.view(), e)
	if err != nil {
		return err
	}
	for {
		failed := h.post(ctx, d)
		if ctx.Err() != nil {
			return context.Cause(ctx) // nobody knows; it is told again
		}
		over := h.outcome(e, failed)
		if err := h.save(); err != nil || over {
			return err
		}
		if err := h.pause(ctx); err != nil {
			return err
		}
	}
}

// outcome notes what became of an attempt, and says whether it was the last one.
func (h *hook) outcome(e Event, failed error) (over bool) {
	now := h.k.cfg.Clock.Now()
	h.change(func(m *wire.Hook) {
		if failed == nil {
			h.failures, over = 0, true
			m.Index, m.MissedFirst, m.MissedLast = e.Index, 0, 0
			m.FailingSinceUnixMs, m.WaitingSinceUnixMs, m.Problem = 0, 0, ""
			m.DeliveredUnixMs = now.UnixMilli()
			return
		}
		m.Problem = failed.Error()
		if m.GetFailingSinceUnixMs() == 0 {
			m.FailingSinceUnixMs = now.UnixMilli()
		}
		if m.GetWaitingSinceUnixMs() == 0 {
			m.WaitingSinceUnixMs = now.UnixMilli()
		}
		if now.Sub(time.UnixMilli(m.GetWaitingSinceUnixMs())) >= GiveUpAfter {
			over = true
			miss(m, e.Index, e.Index)
			m.Index, m.WaitingSinceUnixMs = e.Index, 0
		}
	})
	if failed != nil && (over || h.failures == 0) {
		h.k.cfg.Log.Warn("a hook fails", "hook", h.id, "index", e.Index, "given up", over, "error", failed)
	}
	return over
}

// post makes one attempt, when there is a place for it.
func (h *hook) post(ctx context.Context, d delivery) error {
	select {
	case h.k.places <- struct{}{}:
		defer func() { <-h.k.places }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if h.view().GetAllowPrivate() {
		return h.k.within.post(ctx, d)
	}
	return h.k.public.post(ctx, d)
}

// pause waits before another attempt: longer after each, and by chance between half
// of that and all of it, so that receivers are not met by all at once.
func (h *hook) pause(ctx context.Context) error {
	d := pauseMax
	if doubled := pauseMin << min(h.failures, 30); doubled < pauseMax {
		d = doubled
	}
	h.failures++
	return h.k.cfg.Clock.Sleep(ctx, d/2+time.Duration(h.k.cfg.Random()*float64(d/2)))
}
