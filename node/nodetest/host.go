package nodetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"peer/identity"
	"peer/node"
	"peer/wire"
)

// Host is one process in the network. It implements [node.Network].
type Host struct {
	net  *Network
	self identity.PeerID
	work sync.WaitGroup // handlers and the reporter

	// net.mu guards what follows.
	handlers  map[string]func(identity.PeerID, wire.Stream)
	topics    map[string]topic
	addrs     map[identity.PeerID][]string
	listeners []func(identity.PeerID, bool)
	protected map[identity.PeerID]bool

	// events are reported in order, by one goroutine.
	events struct {
		sync.Mutex
		bell  bell
		queue []func()
		ended bool
	}
}

type topic struct {
	validate func(identity.PeerID, []byte) bool
	receive  func(identity.PeerID, []byte)
}

var _ node.Network = (*Host)(nil)

// Host brings a process with this peer ID up. Two at a time are an error of the test.
func (n *Network) Host(self identity.PeerID) *Host {
	h := &Host{
		net: n, self: self, handlers: map[string]func(identity.PeerID, wire.Stream){},
		topics: map[string]topic{}, addrs: map[identity.PeerID][]string{}, protected: map[identity.PeerID]bool{},
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.up[self] != nil {
		panic("nodetest: two processes with one peer ID")
	}
	n.up[self] = h
	h.work.Go(h.report)
	for id := range n.up {
		if n.connected(self, id) {
			n.tell(self, id, true)
		}
	}
	return h
}

// Down ends the process as a kill would: its streams break and the others hear
// of it. Handlers may still be running; see Close.
func (h *Host) Down() {
	n := h.net
	n.mu.Lock()
	if n.up[h.self] != h {
		n.mu.Unlock()
		return
	}
	var broken []*end
	for id := range n.up {
		if n.connected(h.self, id) {
			broken = append(broken, n.streamsBetween(h.self, id)...)
			n.up[id].changed(h.self, false)
		}
	}
	delete(n.up, h.self)
	n.mu.Unlock()
	reset(broken)
	h.events.Lock()
	h.events.ended = true
	h.events.Unlock()
	h.events.bell.ring()
}

// Close is Down, and waits for the handlers.
func (h *Host) Close() {
	h.Down()
	h.work.Wait()
}

// changed queues a report to the listeners. The caller holds net.mu.
func (h *Host) changed(id identity.PeerID, connected bool) {
	for _, f := range h.listeners {
		h.later(func() { f(id, connected) })
	}
}

func (h *Host) later(f func()) {
	h.events.Lock()
	h.events.queue = append(h.events.queue, f)
	h.events.Unlock()
	h.events.bell.ring()
}

func (h *Host) report() {
	for {
		woken := h.events.bell.wait()
		h.events.Lock()
		queue, ended := h.events.queue, h.events.ended
		h.events.queue = nil
		h.events.Unlock()
		if ended {
			return
		}
		for _, f := range queue {
			f()
		}
		if len(queue) == 0 {
			<-woken
		}
	}
}

// Self implements [node.Network].
func (h *Host) Self() identity.PeerID { return h.self }

// Addrs implements [node.Network].
func (h *Host) Addrs() []string { return []string{h.Addr(h.self)} }

// Addr implements [node.Network].
func (h *Host) Addr(id identity.PeerID) string { return "/memory/" + id.String() }

// KnownAddrs implements [node.Network].
func (h *Host) KnownAddrs(id identity.PeerID) []string {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return slices.Clone(h.addrs[id])
}

// AddAddrs implements [node.Network].
func (h *Host) AddAddrs(id identity.PeerID, addrs []string) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.addrs[id] = append(h.addrs[id], addrs...)
}

// Open implements [node.Network].
func (h *Host) Open(ctx context.Context, to identity.PeerID, protocol string) (wire.Stream, error) {
	s, err := h.net.open(ctx, way{h.self, to}, protocol)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", protocol, err)
	}
	return s, nil
}

// Handle implements [node.Network].
func (h *Host) Handle(protocol string, f func(identity.PeerID, wire.Stream)) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.handlers[protocol] = f
}

// Serve has the handler of a protocol serve a stream that belongs to no network.
func (h *Host) Serve(protocol string, from identity.PeerID, s wire.Stream) {
	h.net.mu.Lock()
	f := h.handlers[protocol]
	h.net.mu.Unlock()
	f(from, s)
	if e, ours := s.(*end); ours {
		e.finish()
	}
}

// Redial implements [node.Network].
func (h *Host) Redial(ctx context.Context, to identity.PeerID) error {
	if err := h.net.reach(ctx, way{h.self, to}); err != nil {
		return err
	}
	h.net.mu.Lock()
	roundTrip := h.net.link(way{h.self, to}).takes() + h.net.link(way{to, h.self}).takes()
	h.net.mu.Unlock()
	if roundTrip == 0 {
		return nil
	}
	select {
	case <-time.After(roundTrip):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Connected implements [node.Network].
func (h *Host) Connected() []identity.PeerID {
	var list []identity.PeerID
	for _, id := range h.net.all() {
		if h.IsConnected(id) {
			list = append(list, id)
		}
	}
	return list
}

// IsConnected implements [node.Network].
func (h *Host) IsConnected(id identity.PeerID) bool {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return h.net.connected(h.self, id)
}

// Protect implements [node.Network].
func (h *Host) Protect(id identity.PeerID, keep bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.protected[id] = keep
}

// OnPeer implements [node.Network]. It begins with who is connected.
func (h *Host) OnPeer(f func(identity.PeerID, bool)) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.listeners = append(h.listeners, f)
	for id := range h.net.up {
		if h.net.connected(h.self, id) {
			h.later(func() { f(id, true) })
		}
	}
}

// Join implements [node.Network].
func (h *Host) Join(name string, validate func(identity.PeerID, []byte) bool, receive func(identity.PeerID, []byte)) (func(), error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if _, twice := h.topics[name]; twice {
		return nil, errors.New("already joined")
	}
	h.topics[name] = topic{validate, receive}
	return func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		delete(h.topics, name)
	}, nil
}

// Publish implements [node.Network]. What this host's own validator refuses is
// not sent; the others' drop what they refuse.
func (h *Host) Publish(_ context.Context, name string, data []byte) error {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	own, joined := h.topics[name]
	if !joined {
		return errors.New("topic was not joined")
	}
	if !own.validate(h.self, data) {
		return errors.New("refused by this host's own validator")
	}
	data = slices.Clone(data)
	for id, other := range h.net.up {
		if t, ok := other.topics[name]; ok && h.net.connected(h.self, id) {
			other.later(func() {
				if t.validate(h.self, data) {
					t.receive(h.self, data)
				}
			})
		}
	}
	return nil
}

// PutRecord implements [node.Network].
func (h *Host) PutRecord(_ context.Context, key, value []byte) error { return h.net.record(key, value) }

// GetRecord implements [node.Network].
func (h *Host) GetRecord(_ context.Context, key []byte) ([]byte, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	if value := h.net.records[string(key)]; value != nil {
		return slices.Clone(value), nil
	}
	return nil, errors.New("no such record")
}
