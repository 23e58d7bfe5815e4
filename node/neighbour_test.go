package node

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"peer/wire"
)

// TestEchoes: a round trip is measured by the first echo of each beat alone, and
// whatever others claim, it is one that this process could have seen.
func TestEchoes(t *testing.T) {
	now := time.Now()
	nb := &neighbour{}
	for _, c := range []struct {
		name             string
		echo, held, time uint64
		trip             int64
	}{
		{"nothing to echo yet", 0, 0, 500, 0},
		{"an echo", 1000, 300, 1500, 200},
		{"the same again: only the other way is broken", 1000, 5300, 6500, 0},
		{"an older one", 900, 0, 6500, 0},
		{"the next", 6600, 0, 6700, 100},
		{"one from the future", 9000, 0, 8000, 0},
		{"held for longer than it was away", 7000, 2000, 8000, 0},
		{"from long ago", 7001, 0, 7001 + uint64(beatAgeMax.Microseconds()) + 1, 0},
		{"at once", 8_000_000, 0, 8_000_000, 1},
		{"all there is", math.MaxUint64, math.MaxUint64, math.MaxUint64, 0},
	} {
		trip, ok := nb.take(&wire.Beat{EchoUs: c.echo, HeldUs: c.held}, c.time, now)
		if ok != (c.trip > 0) || trip != c.trip {
			t.Errorf("%s: %d, %v, want %d", c.name, trip, ok, c.trip)
		}
	}
	rng := rand.New(rand.NewPCG(5, 5))
	liar := &neighbour{}
	for range 10_000 {
		b := &wire.Beat{EchoUs: rng.Uint64() >> rng.IntN(64), HeldUs: rng.Uint64() >> rng.IntN(64)}
		if trip, ok := liar.take(b, rng.Uint64()>>rng.IntN(64), now); ok && (trip < 1 || trip > beatAgeMax.Microseconds()) {
			t.Fatalf("%v makes a round trip of %d µs", b, trip)
		}
	}
}
