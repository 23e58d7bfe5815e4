package node

import (
	"sync"
	"time"

	"peer/wire"
)

// tellEvery is how often a pusher who waits is told for what: far oftener than
// [wire.SilenceMax], after which a client gives up.
const tellEvery = wire.SilenceMax / 10

// telling tells the pusher at intervals what a push waits for, once it waits. It
// writes to the session's stream, so nobody else may before it has been stopped.
type telling struct {
	mu   sync.Mutex
	text string // nothing yet while empty

	over chan struct{}
	done sync.WaitGroup
	once sync.Once
}

func (u *push) startTelling() *telling {
	t := &telling{over: make(chan struct{})}
	t.done.Go(func() {
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-t.over:
				return
			case <-tick.C:
			}
			if text := t.now(); text != "" {
				err := u.tell(&wire.ToClient{Kind: &wire.ToClient_Progress{Progress: &wire.Progress{Text: []byte(text + "\n")}}})
				if err != nil {
					return // whoever reads or writes next will say so
				}
			}
		}
	})
	return t
}

// waitsFor says what the push waits for from now on.
func (t *telling) waitsFor(text string) {
	t.mu.Lock()
	t.text = text
	t.mu.Unlock()
}

func (t *telling) now() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text
}

// stop returns when the stream is free again.
func (t *telling) stop() {
	t.once.Do(func() { close(t.over) })
	t.done.Wait()
}
