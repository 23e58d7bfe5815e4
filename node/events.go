package node

import (
	"context"
	"sync"
	"time"

	"peer/identity"
	"peer/replica"
)

// EventKind says what happened.
type EventKind string

// What a node reports about its groups.
const (
	EventCommit EventKind = "commit"
	EventLeader EventKind = "leader"
	// EventMembers: a seat was given, given up, or got or lost its vote.
	EventMembers EventKind = "members"
	// EventMember: one member fell silent or behind, came back, or left.
	EventMember EventKind = "member"
	// EventDamage and EventMended: what a replica found when it checked itself, and
	// that it put it right.
	EventDamage EventKind = "damage"
	EventMended EventKind = "mended"
)

// Event is something that happened in a group that this node belongs to.
type Event struct {
	Repo   identity.RepoID
	Kind   EventKind
	Index  uint64
	Term   uint64
	Leader identity.PeerID
	At     time.Time
	Refs   []replica.RefChange
	// Members are all seats, of EventMembers.
	Members []replica.Member
	// Signer is whose push it was, of EventCommit; Peer whom the others are about.
	Signer identity.PublicKey
	Peer   identity.PeerID
	Detail string
}

// hub hands events to those who watch. A watcher that does not keep up loses
// the oldest: the log itself is where nothing is lost.
type hub struct {
	mu       sync.Mutex
	watchers map[chan Event]struct{}
}

const eventsQueued = 256

func (h *hub) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.At = time.Now()
	for ch := range h.watchers {
		for {
			select {
			case ch <- e:
			default:
				select {
				case <-ch:
				default:
				}
				continue
			}
			break
		}
	}
}

// Watch calls f for each event until f fails or ctx ends.
func (n *Node) Watch(ctx context.Context, f func(Event) error) error {
	ch := make(chan Event, eventsQueued)
	n.events.mu.Lock()
	if n.events.watchers == nil {
		n.events.watchers = map[chan Event]struct{}{}
	}
	n.events.watchers[ch] = struct{}{}
	n.events.mu.Unlock()
	defer func() {
		n.events.mu.Lock()
		delete(n.events.watchers, ch)
		n.events.mu.Unlock()
	}()
	members := time.NewTicker(watchEvery)
	defer members.Stop()
	known := map[identity.RepoID]seats{}
	if err := n.watchMembers(ctx, known, f); err != nil {
		return err
	}
	for {
		select {
		case <-members.C:
			if err := n.watchMembers(ctx, known, f); err != nil {
				return err
			}
		case e := <-ch:
			if err := f(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-n.ctx.Done():
			return context.Cause(n.ctx)
		}
	}
}

// applied reports what a turn applied, and tells the network when this node leads.
func (n *Node) applied(g *group, applied []replica.Applied) {
	moved := false
	for _, a := range applied {
		if len(a.Refs) > 0 || a.Head != "" {
			moved = true
			n.events.emit(Event{Repo: g.genesis.Repo, Kind: EventCommit, Index: a.Index, Term: a.Term, Leader: g.leader.of, Refs: a.Refs, Signer: a.Signer})
		}
	}
	if moved && g.leader.of == n.self {
		n.announce(g)
	}
}
