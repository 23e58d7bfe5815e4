package node

import (
	"sync"
	"sync/atomic"
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
	// EventGap: some of what happened can't be told.
	EventGap EventKind = "gap"
)

// Event is something that happened in a group that this node belongs to.
type Event struct {
	// Repository is nil of a gap in what was queued for a watcher.
	Repository *replica.Genesis
	Kind       EventKind
	Index      uint64
	Term       uint64
	Leader     identity.PeerID
	// At is the stamp of the log, of EventCommit; otherwise it is this node's clock.
	At   time.Time
	Refs []replica.RefChange
	// Members are all seats, of EventMembers.
	Members []replica.Member
	// Signer is whose push it was, of EventCommit; Peer whom the others are about.
	Signer identity.PublicKey
	Peer   identity.PeerID
	Detail string
}

// hub hands events to those who watch. A watcher that does not keep up loses
// the oldest, and is told how many: the log itself is where nothing is lost.
type hub struct {
	mu       sync.Mutex
	watchers map[*watcher]struct{}
}

type watcher struct {
	want func(Event) bool
	ch   chan Event
	lost atomic.Uint64 // since it was last told
}

const eventsQueued = 256

func (h *hub) emit(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w := range h.watchers {
		for w.want(e) {
			select {
			case w.ch <- e:
			default:
				select {
				case <-w.ch:
					w.lost.Add(1)
				default:
				}
				continue
			}
			break
		}
	}
}

// join begins to queue the events that a watcher wants, until leave.
func (h *hub) join(want func(Event) bool) (w *watcher, leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w = &watcher{want: want, ch: make(chan Event, eventsQueued)}
	if h.watchers == nil {
		h.watchers = map[*watcher]struct{}{}
	}
	h.watchers[w] = struct{}{}
	return w, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, w)
	}
}

// emit tells those who watch of something in this group.
func (g *group) emit(e Event) { g.n.events.emit(g.event(e)) }

// event says of which group e is and, unless the log did, when it happened.
func (g *group) event(e Event) Event {
	e.Repository = g.genesis
	if e.At.IsZero() {
		e.At = time.Now()
	}
	return e
}

// applied reports what a turn applied, and tells the network when this node leads.
func (n *Node) applied(g *group, applied []replica.Applied) {
	moved := false
	for _, a := range applied {
		if len(a.Refs) > 0 || a.Head != "" {
			moved = true
			e := Event{
				Kind: EventCommit, Index: a.Index, Term: a.Term, Leader: g.leader.of, At: time.UnixMilli(a.StampMillis),
				Refs: a.Refs, Signer: a.Signer,
			}
			if a.Head != "" {
				e.Detail = headMoved(a.Head)
			}
			g.emit(e)
		}
	}
	if moved && g.leader.of == n.self {
		n.announce(g)
	}
}
