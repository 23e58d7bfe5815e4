package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

func TestHandlerPanic(t *testing.T) {
	var log syncBuffer
	a := start(t, config(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }))
	b := start(t, config(t, bootstrap(a)))
	a.Handle("bad/1", func(_ identity.PeerID, s wire.Stream) {
		_, _ = io.ReadFull(s, make([]byte, 1))
		panic("boom")
	})
	a.Handle("echo/1", echo)
	if _, err := ask(t, b, a, "bad/1", "x"); err == nil {
		t.Error("the stream of a handler that panicked ended in order")
	}
	if got, err := ask(t, b, a, "echo/1", "alive"); err != nil || got != "alive" {
		t.Errorf("after the panic: %q, %v", got, err)
	}
	eventually(t, "the panic is logged", func() bool { return strings.Contains(log.String(), "boom") })
	eventually(t, "its place is free again", func() bool { return a.streams.running() == 0 })
}

func TestHandlerThatForgetsToClose(t *testing.T) {
	a := start(t, config(t))
	b := start(t, config(t, bootstrap(a)))
	a.Handle("half/1", func(_ identity.PeerID, s wire.Stream) { _, _ = s.Write([]byte("half an ans")) })
	a.Handle("whole/1", func(_ identity.PeerID, s wire.Stream) {
		_, _ = s.Write([]byte("whole"))
		_ = s.CloseWrite()
	})
	if got, err := ask(t, b, a, "half/1", "?"); err == nil {
		t.Errorf("an answer that was not finished looks whole: %q", got)
	}
	if got, err := ask(t, b, a, "whole/1", "?"); err != nil || got != "whole" {
		t.Errorf("whole answer: %q, %v", got, err)
	}
}

func TestStreamLimits(t *testing.T) {
	a := start(t, config(t, func(c *Config) { c.StreamsPerPeer, c.StreamsTotal = 2, 3 }))
	b, c := start(t, config(t, bootstrap(a))), start(t, config(t, bootstrap(a)))
	release := make(chan struct{})
	a.Handle("wait/1", func(_ identity.PeerID, s wire.Stream) {
		_, _ = io.ReadFull(s, make([]byte, 1))
		_, _ = s.Write([]byte("."))
		<-release
		s.Close()
	})
	enter := func(from *Transport) error {
		s, err := from.Open(t.Context(), a.Self(), "wait/1")
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = s.Reset() })
		_ = s.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = s.Write([]byte("."))
		_, err = io.ReadFull(s, make([]byte, 1))
		return err
	}
	for i, step := range []struct {
		from *Transport
		in   bool
	}{{b, true}, {b, true}, {b, false}, {c, true}, {c, false}} {
		if err := enter(step.from); (err == nil) != step.in {
			t.Errorf("stream %d: in %v, want %v (%v)", i, err == nil, step.in, err)
		}
	}
	if err := a.Redial(t.Context(), b.Self()); err != nil {
		t.Errorf("a host at its limit looks dead: %v", err)
	}
	if err := b.Redial(t.Context(), a.Self()); err != nil {
		t.Errorf("a host at its limit looks dead: %v", err)
	}
	close(release)
	eventually(t, "places are free again", func() bool { return a.streams.running() == 0 })
	if err := enter(b); err != nil {
		t.Errorf("after the others have left: %v", err)
	}
}

// Strangers, whose keys cost nothing, leave places for hosts that are protected.
func TestStrangersLeavePlacesForMembers(t *testing.T) {
	const perPeer, strangers = 2, 8
	a := start(t, config(t, func(c *Config) {
		c.StreamsPerPeer, c.StreamsTotal, c.StreamsStrangers = perPeer, perPeer*strangers, perPeer*strangers/2
	}))
	release := make(chan struct{})
	a.Handle("raft/1", func(_ identity.PeerID, s wire.Stream) {
		_, _ = io.ReadFull(s, make([]byte, 1))
		_, _ = s.Write([]byte("."))
		<-release
		s.Close()
	})
	a.Handle("group/1", echo)
	defer close(release)
	in := 0
	for range strangers {
		b := start(t, config(t, bootstrap(a)))
		for range perPeer {
			s, err := b.Open(t.Context(), a.Self(), "raft/1")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Reset() })
			_ = s.SetDeadline(time.Now().Add(15 * time.Second))
			_, _ = s.Write([]byte("."))
			if _, err = io.ReadFull(s, make([]byte, 1)); err == nil {
				in++
			}
		}
	}
	if want := perPeer * strangers / 2; in != want {
		t.Errorf("strangers hold %d places, want %d", in, want)
	}
	member := start(t, config(t, bootstrap(a)))
	if got, err := ask(t, member, a, "group/1", "a request"); err == nil {
		t.Errorf("one more stranger gets %q", got)
	}
	a.Protect(member.Self(), true)
	if got, err := ask(t, member, a, "group/1", "a request"); err != nil || got != "a request" {
		t.Errorf("a member gets %q, %v", got, err)
	}
}

// A host that opens streams and says nothing holds places only until the
// handler's deadline, and never delays Close.
func TestSilentStream(t *testing.T) {
	a := start(t, config(t))
	b := start(t, config(t, bootstrap(a)))
	seen := make(chan error, 2)
	a.Handle("patient/1", func(_ identity.PeerID, s wire.Stream) {
		_ = s.SetDeadline(time.Now().Add(50 * time.Millisecond))
		_, err := io.ReadFull(s, make([]byte, 2))
		seen <- err
	})
	s, err := b.Open(t.Context(), a.Self(), "patient/1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte{1}) // half of what the handler waits for
	if err := <-seen; !isTimeout(err) {
		t.Errorf("silent stream: %v", err)
	}
	_ = s.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := s.Read(make([]byte, 1)); err == nil {
		t.Error("the silent side was not told")
	}
	_ = s.Reset()

	waiting := make(chan struct{})
	a.Handle("forever/1", func(_ identity.PeerID, s wire.Stream) {
		close(waiting)
		_, err := io.ReadFull(s, make([]byte, 2))
		seen <- err
	})
	s, err = b.Open(t.Context(), a.Self(), "forever/1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte{1})
	<-waiting
	begin := time.Now()
	if err := a.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("close took %v with a handler waiting on a silent stream", took)
	}
	if err := <-seen; err == nil {
		t.Error("the handler was not told")
	}
}

func TestCloseNamesHandlersThatHang(t *testing.T) {
	a, err := New(t.Context(), config(t))
	if err != nil {
		t.Fatal(err)
	}
	b := start(t, config(t, bootstrap(a)))
	release, inside := make(chan struct{}), make(chan struct{})
	a.Handle("deaf/1", func(identity.PeerID, wire.Stream) { close(inside); <-release })
	s, err := b.Open(t.Context(), a.Self(), "deaf/1")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = s.Write([]byte{1})
	<-inside
	begin := time.Now()
	err = a.Close()
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("close took %v", took)
	}
	if err == nil || !strings.Contains(err.Error(), "1 stream handlers") {
		t.Errorf("close: %v", err)
	}
	close(release)
	eventually(t, "the handler is gone", func() bool { return a.streams.running() == 0 })
}

func TestOpenHonoursContext(t *testing.T) {
	a := start(t, config(t))
	stranger := config(t).Key.PeerID()
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a.AddAddrs(stranger, []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := a.Open(ctx, stranger, "echo/1"); err == nil {
		t.Fatal("opened a stream to nobody")
	}
	if took := time.Since(begin); took > time.Second {
		t.Errorf("took %v", took)
	}
	ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.Redial(ctx, stranger); err == nil {
		t.Error("a socket that says nothing passes for a process that answers")
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}
