package transport

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"peer/identity"
)

// How connections are kept. Groups dial their own members; this is so that a
// node knows its network, and the network it.
const (
	retryFirst    = 200 * time.Millisecond
	retryBootMax  = 15 * time.Second
	retryKnownMax = 5 * time.Minute
	keepConns     = 16 // known nodes are dialled while there are fewer connections
	keepDialsMax  = 8  // at once
	keepDialTime  = 10 * time.Second
	keepIdle      = time.Minute
)

// keeper dials bootstrap nodes and known nodes until they answer, each at a
// pace of its own that slows down.
type keeper struct {
	t       *Transport
	wake    chan struct{}
	dials   chan struct{}
	settled chan struct{} // closed when each node has been tried once

	mu       sync.Mutex
	attempts map[peer.ID]*attempt
	untried  map[peer.ID]bool // of the first round; nil before it
}

type attempt struct {
	busy  bool
	tried bool
	next  time.Time
	wait  time.Duration
}

func newKeeper(t *Transport) *keeper {
	return &keeper{
		t: t, wake: make(chan struct{}, 1), dials: make(chan struct{}, keepDialsMax),
		settled: make(chan struct{}), attempts: make(map[peer.ID]*attempt),
	}
}

func (k *keeper) kick() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

func (k *keeper) run(ctx context.Context) {
	var dials sync.WaitGroup
	defer dials.Wait()
	k.t.peers.add(func(_ identity.PeerID, _ bool) { k.kick() })
	for {
		due, next := k.due(time.Now())
		for _, id := range due {
			dials.Go(func() { k.dial(ctx, id) })
		}
		timer := time.NewTimer(next)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-k.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// due lists whom to dial now, and how long nothing will be due after.
func (k *keeper) due(now time.Time) (due []peer.ID, next time.Duration) {
	next = keepIdle
	k.mu.Lock()
	defer k.mu.Unlock()
	conns := len(k.t.host.Network().Peers())
	known := k.t.book.ids()
	consider := func(id peer.ID) {
		a := k.attempts[id]
		if k.t.connected(id) {
			delete(k.attempts, id)
			return
		}
		if a == nil {
			a = &attempt{wait: retryFirst}
			k.attempts[id] = a
		}
		switch wait := a.next.Sub(now); {
		case a.busy:
		case wait <= 0:
			a.busy = true
			due = append(due, id)
		default:
			next = min(next, wait)
		}
	}
	for id := range k.t.boot {
		consider(id)
	}
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	for _, id := range known {
		if conns+len(due) >= keepConns {
			break
		}
		if _, boot := k.t.boot[id]; !boot {
			consider(id)
		}
	}
	if k.untried == nil {
		k.untried = make(map[peer.ID]bool)
		for _, id := range due {
			k.untried[id] = true
		}
		if len(due) == 0 {
			close(k.settled)
		}
	}
	return due, next
}

func (k *keeper) dial(ctx context.Context, id peer.ID) {
	select {
	case k.dials <- struct{}{}:
		defer func() { <-k.dials }()
	case <-ctx.Done():
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keepDialTime)
	defer cancel()
	err := k.t.dial(ctx, id)
	if k.t.ctx.Err() != nil {
		return
	}
	k.done(id, err)
	k.kick()
}

func (k *keeper) done(id peer.ID, err error) {
	info, boot := k.t.boot[id]
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.untried[id] {
		if delete(k.untried, id); len(k.untried) == 0 {
			close(k.settled)
		}
	}
	if err == nil {
		delete(k.attempts, id)
		if boot {
			k.t.log.Info("reached bootstrap node", "peer", id.String())
		}
		return
	}
	a := k.attempts[id]
	if a == nil {
		return // it came to us meanwhile, or was dialled for another reason
	}
	first := !a.tried
	a.busy, a.tried = false, true
	if boot && first {
		k.t.log.Info("bootstrap node does not answer yet", "peer", id.String(), "addrs", formatAddrs(info.Addrs), "error", err)
	}
	a.next = time.Now().Add(jitter(a.wait))
	longest := retryKnownMax
	if boot {
		longest = retryBootMax
	}
	a.wait = min(2*a.wait, longest)
}

// jitter spreads the nodes that lost the same neighbour at the same moment.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2) }

// heard dials a host that announced itself nearby, unless that was just done.
func (k *keeper) heard(id peer.ID) {
	if k.t.connected(id) || !k.t.found.may(id, time.Now()) {
		return
	}
	k.t.loops.Go(func() { k.dial(k.t.ctx, id) })
}
