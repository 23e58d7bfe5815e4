package transport

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

// Three in a line: what the middle refuses, the far end never sees.
func TestGossipIsCheckedBeforeRelay(t *testing.T) {
	alone := func(c *Config) { c.Server = false } // nobody is found under the rendezvous string
	mid := start(t, config(t, alone))
	left, right := start(t, config(t, alone)), start(t, config(t, alone))
	meetUp(t, mid, left)
	meetUp(t, mid, right)

	type message struct {
		at, from identity.PeerID
		data     string
	}
	got := make(chan message, 64)
	var midRefused atomic.Int32
	honest := func(n *Transport, refused *atomic.Int32) func(identity.PeerID, []byte) bool {
		return func(_ identity.PeerID, data []byte) bool {
			if bytes.HasPrefix(data, []byte("panic")) {
				refused.Add(1)
				panic("a validator's own fault")
			}
			if !bytes.HasPrefix(data, []byte("good")) {
				refused.Add(1)
				return false
			}
			return true
		}
	}
	receive := func(n *Transport) func(identity.PeerID, []byte) {
		return func(from identity.PeerID, data []byte) { got <- message{n.Self(), from, string(data)} }
	}
	var rightRefused, ignored atomic.Int32
	join := func(n *Transport, v func(identity.PeerID, []byte) bool) func() {
		leave, err := n.Join("repo", v, receive(n))
		if err != nil {
			t.Fatal(err)
		}
		return leave
	}
	join(left, func(identity.PeerID, []byte) bool { return true })
	leaveMid := join(mid, honest(mid, &midRefused))
	leaveRight := join(right, honest(right, &rightRefused))
	if _, err := mid.Join("repo", nil, nil); err == nil {
		t.Error("joined twice")
	}

	// Until the mesh stands, messages go nowhere: send new ones until one is through.
	n := 0
	eventually(t, "a good message crosses the line", func() bool {
		n++
		if err := left.Publish(t.Context(), "repo", fmt.Appendf(nil, "good %d", n)); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-got:
			return m.at == right.Self()
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	for _, bad := range []string{"bad", "panic"} {
		before := midRefused.Load()
		if err := left.Publish(t.Context(), "repo", []byte(bad)); err != nil {
			t.Fatal(err)
		}
		eventually(t, bad+" is refused in the middle", func() bool { return midRefused.Load() > before })
	}
	if err := left.Publish(t.Context(), "repo", []byte("good last")); err != nil {
		t.Fatal(err)
	}
	for last := 0; last < 2; {
		m := <-got
		if want := map[identity.PeerID]identity.PeerID{mid.Self(): left.Self(), right.Self(): mid.Self()}[m.at]; m.from != want {
			t.Errorf("%q at %s came from %s, want %s", m.data, m.at, m.from, want)
		}
		if m.data == "bad" || m.data == "panic" {
			t.Errorf("%s received %q", m.at, m.data)
		}
		if m.data == "good last" {
			last++
		}
	}
	if rightRefused.Load() != 0 {
		t.Error("the middle relayed what it refused")
	}
	if err := mid.Publish(t.Context(), "repo", []byte("bad own")); err == nil {
		t.Error("published what the own validator refuses")
	}
	if err := left.Publish(t.Context(), "elsewhere", []byte("good")); !errors.Is(err, errNotJoined) {
		t.Errorf("publish on a topic that was not joined: %v", err)
	}
	leaveRight()
	leaveRight()
	leaveMid()
	if leave, err := mid.Join("repo", honest(mid, &ignored), receive(mid)); err != nil {
		t.Errorf("join again: %v", err)
	} else {
		leave()
	}
}

// A host that connects is told of all topics at once; a thousand repositories
// must not be too many for that.
func TestManyTopics(t *testing.T) {
	a, b := start(t, config(t)), start(t, config(t))
	const topics = 2000
	name := func(i int) string { return fmt.Sprintf("%064d", i) }
	got := make(chan string, 64)
	for _, n := range []*Transport{a, b} {
		for i := range topics {
			_, err := n.Join(name(i), func(identity.PeerID, []byte) bool { return true }, func(_ identity.PeerID, data []byte) {
				select {
				case got <- string(data):
				default:
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	meetUp(t, a, b)
	n := 0
	eventually(t, "a message arrives on the last topic", func() bool {
		n++
		if err := a.Publish(t.Context(), name(topics-1), fmt.Appendf(nil, "%d", n)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
			return true
		case <-time.After(20 * time.Millisecond):
			return false
		}
	})
	if _, err := a.Join(strings.Repeat("x", topicBytesMax+1), nil, nil); err == nil {
		t.Error("joined a topic whose name is too long")
	}
	if err := a.Publish(t.Context(), name(0), make([]byte, wire.RecordBytesMax+1)); err == nil {
		t.Error("published a message beyond the limit")
	}
}
