package transport

import (
	"io"
	"testing"
	"time"

	"peer/identity"
	"peer/wire"
)

func pair(b *testing.B, secret string) (from, to *Transport) {
	to = start(b, config(b, func(c *Config) { c.Secret = secret }))
	from = start(b, config(b, func(c *Config) { c.Secret = secret }))
	to.Handle("echo/1", echo)
	to.Handle("sink/1", func(_ identity.PeerID, s wire.Stream) {
		_, _ = io.Copy(io.Discard, s)
		s.Close()
	})
	meetUp(b, to, from)
	return from, to
}

func each(b *testing.B, f func(b *testing.B, secret string)) {
	b.Run("open", func(b *testing.B) { f(b, "") })
	b.Run("secret", func(b *testing.B) { f(b, "open sesame") })
}

// BenchmarkOpen opens a stream, asks and is answered.
func BenchmarkOpen(b *testing.B) {
	each(b, func(b *testing.B, secret string) {
		from, to := pair(b, secret)
		for b.Loop() {
			if _, err := ask(b, from, to, "echo/1", "x"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRoundTrip asks and is answered on a stream that stays open.
func BenchmarkRoundTrip(b *testing.B) {
	each(b, func(b *testing.B, secret string) {
		from, to := pair(b, secret)
		s, err := from.Open(b.Context(), to.Self(), "echo/1")
		if err != nil {
			b.Fatal(err)
		}
		defer func() { _ = s.Reset() }()
		buf := make([]byte, 64)
		for b.Loop() {
			if _, err := s.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(s, buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkBulk(b *testing.B) {
	each(b, func(b *testing.B, secret string) {
		from, to := pair(b, secret)
		s, err := from.Open(b.Context(), to.Self(), "sink/1")
		if err != nil {
			b.Fatal(err)
		}
		buf := make([]byte, 1<<20)
		b.SetBytes(int64(len(buf)))
		for b.Loop() {
			if _, err := s.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.CloseWrite(); err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, s) // until the other side has read it all
	})
}

func BenchmarkStartAndClose(b *testing.B) {
	var closing time.Duration
	for b.Loop() {
		t, err := New(b.Context(), config(b, clientOnly))
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := t.Close(); err != nil {
			b.Fatal(err)
		}
		closing += time.Since(begin)
	}
	b.ReportMetric(float64(closing.Microseconds())/float64(b.N), "us-closing/op")
}
