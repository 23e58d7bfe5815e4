package control

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"peer/node/control/pb"
	"peer/wire"
)

func BenchmarkDialAndPing(b *testing.B) {
	_, o := serve(b, &fakeBackend{}, false)
	for b.Loop() {
		c, err := Dial(b.Context(), o.SocketPath)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.Ping(b.Context(), &pb.PingRequest{}); err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkPing(b *testing.B) {
	_, o := serve(b, &fakeBackend{}, false)
	c := dial(b, o)
	for b.Loop() {
		if _, err := c.Ping(b.Context(), &pb.PingRequest{}); err != nil {
			b.Fatal(err)
		}
	}
}

// zeros is a replica that writes and takes bytes without end.
type zeros struct{ closed chan struct{} }

func (z zeros) Read(p []byte) (int, error) {
	select {
	case <-z.closed:
		return 0, errors.New("closed")
	default:
		return len(p), nil
	}
}
func (z zeros) Write(p []byte) (int, error) { return len(p), nil }
func (z zeros) CloseWrite() error           { return nil }
func (z zeros) Close() error                { close(z.closed); return nil }
func (z zeros) Reset() error                { close(z.closed); return nil }
func (z zeros) SetDeadline(time.Time) error { return nil }

func benchSession(b *testing.B, move func(wire.Stream, []byte) error) {
	backend := &fakeBackend{session: func(context.Context, string, bool) (wire.Stream, error) {
		return zeros{make(chan struct{})}, nil
	}}
	_, o := serve(b, backend, false)
	s, err := dial(b, o).Session(b.Context(), "id", true)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Reset() }()
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(len(buf)))
	for b.Loop() {
		if err := move(s, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSessionDown(b *testing.B) {
	benchSession(b, func(s wire.Stream, buf []byte) error { _, err := io.ReadFull(s, buf); return err })
}

func BenchmarkSessionUp(b *testing.B) {
	benchSession(b, func(s wire.Stream, buf []byte) error { _, err := s.Write(buf); return err })
}

// BenchmarkSessionOpen is what a helper pays before its first byte.
func BenchmarkSessionOpen(b *testing.B) {
	backend := &fakeBackend{session: func(context.Context, string, bool) (wire.Stream, error) {
		silent, _ := pipe()
		return silent, nil
	}}
	_, o := serve(b, backend, false)
	for b.Loop() {
		c, err := Dial(b.Context(), o.SocketPath)
		if err != nil {
			b.Fatal(err)
		}
		s, err := c.Session(b.Context(), "id", true)
		if err != nil {
			b.Fatal(err)
		}
		_ = s.Reset()
		c.Close()
	}
}
