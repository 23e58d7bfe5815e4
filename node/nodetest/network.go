package nodetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"peer/identity"
	"peer/node"
	"peer/wire"
)

// Network connects hosts in this process. All that are up are connected, unless
// the connection between two of them was severed.
type Network struct {
	mu      sync.Mutex
	up      map[identity.PeerID]*Host
	links   map[way]*link
	severed map[way]bool
	streams map[*end]way // from the host that holds the end
	faults  []*Fault
	records map[string][]byte
}

// way is from one host to another.
type way struct{ from, to identity.PeerID }

func (w way) back() way { return way{w.to, w.from} }

// NewNetwork makes a network without hosts.
func NewNetwork() *Network {
	return &Network{
		up: map[identity.PeerID]*Host{}, links: map[way]*link{}, severed: map[way]bool{},
		streams: map[*end]way{}, records: map[string][]byte{},
	}
}

func (n *Network) link(w way) *link {
	l := n.links[w]
	if l == nil {
		l = &link{}
		n.links[w] = l
	}
	return l
}

// Silence stops all bytes from one host to another. Neither is told, and opening
// or dialling hangs in both directions, since a handshake needs both.
func (n *Network) Silence(from, to identity.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(way{from, to}).set(true)
}

// Slow makes bytes between two hosts take a time in each direction, also those of
// streams that are open. Opening a stream takes no time of its own, as it waits for
// no answer.
func (n *Network) Slow(a, b identity.PeerID, oneWay time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.link(way{a, b}).slow(oneWay)
	n.link(way{b, a}).slow(oneWay)
}

// Sever breaks the connection between two hosts, both are told, and keeps them
// from making another.
func (n *Network) Sever(a, b identity.PeerID) {
	n.mu.Lock()
	if n.severed[way{a, b}] {
		n.mu.Unlock()
		return
	}
	n.severed[way{a, b}], n.severed[way{b, a}] = true, true
	broken := n.streamsBetween(a, b)
	n.tell(a, b, false)
	n.mu.Unlock()
	reset(broken)
}

// Flap breaks the connection between two hosts, who at once make another.
func (n *Network) Flap(a, b identity.PeerID) {
	n.Sever(a, b)
	n.Mend(a, b)
}

// Mend takes back what Silence and Sever did to the connection of two hosts.
func (n *Network) Mend(a, b identity.PeerID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, w := range []way{{a, b}, {b, a}} {
		n.link(w).set(false)
	}
	if n.severed[way{a, b}] {
		delete(n.severed, way{a, b})
		delete(n.severed, way{b, a})
		n.tell(a, b, true)
	}
}

// Isolate severs a host from all others but those named.
func (n *Network) Isolate(id identity.PeerID, but ...identity.PeerID) {
	for _, other := range n.all() {
		if other != id && !slices.Contains(but, other) {
			n.Sever(id, other)
		}
	}
}

// Heal mends all connections.
func (n *Network) Heal() {
	hosts := n.all()
	for i, a := range hosts {
		for _, b := range hosts[:i] {
			n.Mend(a, b)
		}
	}
}

func (n *Network) all() []identity.PeerID {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := make([]identity.PeerID, 0, len(n.up))
	for id := range n.up {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// tell reports a change of a connection to both ends that are up. The caller holds mu.
func (n *Network) tell(a, b identity.PeerID, connected bool) {
	if n.up[a] != nil && n.up[b] != nil {
		n.up[a].changed(b, connected)
		n.up[b].changed(a, connected)
	}
}

// streamsBetween lists ends, one for each stream. The caller holds mu.
func (n *Network) streamsBetween(a, b identity.PeerID) (list []*end) {
	for e, w := range n.streams {
		if w == (way{a, b}) || w == (way{b, a}) {
			list = append(list, e)
		}
	}
	return list
}

func reset(streams []*end) {
	for _, e := range streams {
		_ = e.Reset()
	}
}

// connected says whether there is a connection. The caller holds mu.
func (n *Network) connected(a, b identity.PeerID) bool {
	return a != b && n.up[a] != nil && n.up[b] != nil && !n.severed[way{a, b}]
}

// reach waits until a handshake from one host to another got through, or says why it can't.
func (n *Network) reach(ctx context.Context, w way) error {
	for {
		n.mu.Lock()
		there, back := n.link(w), n.link(w.back())
		waitThere, waitBack := there.bell.wait(), back.bell.wait()
		connected := n.connected(w.from, w.to)
		n.mu.Unlock()
		if !connected {
			return fmt.Errorf("%s: connection refused", w.to)
		}
		if !there.silent() && !back.silent() {
			return nil
		}
		select {
		case <-waitThere:
		case <-waitBack:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// open makes a stream and hands its other end to the handler.
func (n *Network) open(ctx context.Context, w way, protocol string) (wire.Stream, error) {
	if err := n.reach(ctx, w); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	to := n.up[w.to]
	if !n.connected(w.from, w.to) || to.handlers[protocol] == nil {
		return nil, fmt.Errorf("%s does not serve %s", w.to, protocol)
	}
	a, b := pipe(n.link(w), n.link(w.back()))
	n.watch(a, w)
	n.watch(b, w.back())
	handle, faults := to.handlers[protocol], slices.Clone(n.faults)
	to.work.Go(func() {
		stream, err := admit(b, Opening{From: w.from, To: w.to, Protocol: protocol}, faults)
		if err != nil {
			_ = b.Reset()
			return
		}
		defer b.finish()
		handle(w.from, stream)
	})
	return a, nil
}

// watch remembers an end until it is closed. The caller holds mu.
func (n *Network) watch(e *end, w way) {
	n.streams[e] = w
	e.gone = func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.streams, e)
	}
}

// record checks and keeps a record, as a node of the DHT would.
func (n *Network) record(key, value []byte) error {
	repo, err := identity.RepoIDFromBytes(key)
	if err != nil {
		return err
	}
	if _, err := node.CheckHint(repo, value, time.Now()); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if old := n.records[string(key)]; old != nil {
		best, err := node.SelectHint(repo, [][]byte{value, old}, time.Now())
		if err != nil || best != 0 {
			return errors.New("an older record than the one that is there")
		}
	}
	n.records[string(key)] = slices.Clone(value)
	return nil
}

// Open is what anybody in the network can see without asking its nodes: the topics
// that hosts have joined, and the DHT's records with their keys.
func (n *Network) Open() (topics []string, records map[string][]byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.up {
		for name := range h.topics {
			if !slices.Contains(topics, name) {
				topics = append(topics, name)
			}
		}
	}
	return topics, maps.Clone(n.records)
}
