package transport

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"peer/identity"
)

const (
	meetEnough   = 8  // connections; with fewer, strangers are dialled
	meetDials    = 4  // in one round
	meetFindMax  = 64 // hosts taken from one search
	meetFindTime = 10 * time.Second
	meetSoon     = 2 * time.Second
	meetLater    = 5 * time.Minute
	provideAgain = 30 * time.Minute // records of providers live for two days
	provideUntil = 3                // connections that each bring another provide, as the network fills
)

// FindPeers looks for hosts of the network under the rendezvous string. Their
// addresses are remembered; they are not dialled.
func (t *Transport) FindPeers(ctx context.Context) ([]identity.PeerID, error) {
	if err := t.Ready(ctx); err != nil {
		return nil, fmt.Errorf("find peers: %w", err)
	}
	var out []identity.PeerID
	for info := range t.dht.FindProvidersAsync(ctx, t.names.meet, meetFindMax) {
		id, err := identity.PeerIDFromBytes([]byte(info.ID))
		if err != nil || info.ID == t.parts.id {
			continue
		}
		t.host.Peerstore().AddAddrs(info.ID, clip(info.Addrs), heardAddrTTL)
		out = append(out, id)
	}
	return out, ctx.Err()
}

// meet makes this host findable and finds others: soon while there are few
// connections and rounds bring new ones, rarely otherwise.
func (t *Transport) meet(ctx context.Context) {
	joined := make(chan struct{}, 1)
	t.peers.add(func(_ identity.PeerID, up bool) {
		if up {
			select {
			case joined <- struct{}{}:
			default:
			}
		}
	})
	var provided time.Time
	providedTo := 0
	wait := meetLater // nobody to ask before the first connection
	for {
		timer := time.NewTimer(jitter(wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-joined:
			timer.Stop()
		case <-timer.C:
		}
		conns := len(t.host.Network().Peers())
		if conns == 0 {
			wait = meetLater
			continue
		}
		wait = min(2*wait, meetLater)
		growing := conns > providedTo && providedTo < provideUntil
		if t.cfg.Server && (growing || time.Since(provided) > provideAgain) {
			if t.provide(ctx) {
				provided, providedTo = time.Now(), conns
			} else {
				wait = meetSoon
			}
		}
		if conns < meetEnough && t.dialStrangers(ctx) > 0 {
			wait = meetSoon
		}
	}
}

func (t *Transport) provide(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, meetFindTime)
	defer cancel()
	t.awaitTable(ctx, tableWait)
	err := t.dht.Provide(ctx, t.names.meet, true)
	if err != nil {
		t.log.Debug("not findable under the rendezvous string yet", "error", err)
	}
	return err == nil
}

// dialStrangers dials a handful of hosts found, and says how many answered.
func (t *Transport) dialStrangers(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, meetFindTime)
	defer cancel()
	found, err := t.FindPeers(ctx)
	if err != nil && len(found) == 0 {
		return 0
	}
	answered, dialled := 0, 0
	for _, id := range found {
		if dialled == meetDials || ctx.Err() != nil {
			break
		}
		if t.connected(peer.ID(id)) {
			continue
		}
		dialled++
		if t.dial(ctx, peer.ID(id)) == nil {
			answered++
		}
	}
	return answered
}
