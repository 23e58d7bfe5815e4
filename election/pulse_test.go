package election

import (
	"math/rand/v2"
	"testing"
)

func newPulse() *Pulse { return &Pulse{FloorTicks: 5, TickMicros: 100_000} }

// listen plays a line: each letter is a tick, in which a beat was heard (b) or not (.).
func listen(p *Pulse, line string) (verdicts string) {
	for _, c := range line {
		verdicts += map[Verdict]string{Steady: "-", FellSilent: "S", Returned: "R"}[p.Tick(c == 'b')]
	}
	return verdicts
}

func TestPulse(t *testing.T) {
	for _, c := range []struct{ name, beats, want string }{
		{"a beat in each tick", "bbbbbbbb", "--------"},
		{"a pause is no silence", "bb....bb....b", "-------------"},
		{"silence is found once", "bb.........", "------S----"},
		{"one that never said anything", ".........", "----S----"},
		{"and returns", ".......b..b", "----S--R---"},
		{"a return is believed, and a new silence found", ".....b.....", "----SR----S"},
		{"pauses make patient", "b..b..b......b", "--------------"},
		{"but not for ever", "b..b..b.......b", "-------------SR"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := listen(newPulse(), c.beats); got != c.want {
				t.Errorf("%s: %s, want %s", c.beats, got, c.want)
			}
		})
	}
}

// TestPulseAcrossTheWorld: one lost packet is sent again after a round trip.
func TestPulseAcrossTheWorld(t *testing.T) {
	p := newPulse()
	for range tripsKept {
		p.Measured(400_000)
	}
	if got := p.Patience(); got != 5+8 {
		t.Errorf("patience of %d ticks with a round trip of 400 ms", got)
	}
	for range 100 {
		p.Measured(1 << 60)
	}
	if got := p.Patience(); got != patienceMax*5 {
		t.Errorf("patience of %d ticks, the limit is %d", got, patienceMax*5)
	}
}

// TestMedian: what waited in the queue of a stopped process does not count.
func TestMedian(t *testing.T) {
	p := newPulse()
	if p.RoundTripMicros() != 0 {
		t.Error("a round trip before any was measured")
	}
	for i := range 100 {
		trip := int64(200)
		if i%4 == 3 {
			trip = 3_000_000
		}
		if p.Measured(trip); i > 0 && p.RoundTripMicros() != 200 {
			t.Fatalf("round trip of %d µs after %d", p.RoundTripMicros(), i)
		}
	}
	p.Measured(-5)
	if got := p.RoundTripMicros(); got != 200 {
		t.Errorf("round trip of %d µs", got)
	}
}

// TestNoNeedlessSilence: beats that come late, by anything below the least
// silence that counts, are no silence; and real silence is found in bounded time
// whatever came before.
func TestNoNeedlessSilence(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := newPulse()
		worst := 1 + rng.IntN(p.FloorTicks)
		for range 2000 {
			for range rng.IntN(worst) {
				if v := p.Tick(false); v != Steady {
					t.Fatalf("seed %d: %v during pauses of less than %d ticks", seed, v, worst)
				}
			}
			if rng.IntN(3) == 0 {
				p.Measured(rng.Int64N(300_000))
			}
			p.Tick(true)
		}
		found := 0
		for p.Tick(false) != FellSilent {
			if found++; found > patienceMax*p.FloorTicks {
				t.Fatalf("seed %d: no silence found in %d ticks", seed, found)
			}
		}
		if limit := 2*worst + p.FloorTicks + 6; found > limit {
			t.Errorf("seed %d: %d ticks to find a silence, want at most %d", seed, found, limit)
		}
	}
}

// TestPatienceGrows: pauses that grow slowly never become a silence, since each
// makes the node more patient, up to a limit.
func TestPatienceGrows(t *testing.T) {
	p := newPulse()
	for pause := range 20 {
		for range 10 {
			for range pause {
				if p.Tick(false) != Steady {
					t.Fatalf("silent at pauses of %d ticks", pause)
				}
			}
			p.Tick(true)
		}
	}
	// And patience fades when the beats are even again.
	for range 500 {
		p.Tick(true)
	}
	if got := p.Patience(); got != p.FloorTicks {
		t.Errorf("patience of %d ticks after a long calm", got)
	}
}

// TestSilenceTeachesNothing: a node that was stopped and goes on is no reason to
// be slower the next time.
func TestSilenceTeachesNothing(t *testing.T) {
	p := newPulse()
	for range 5 {
		for range 20 {
			p.Tick(true)
		}
		found := 1
		for p.Tick(false) != FellSilent {
			found++
		}
		if found != p.FloorTicks {
			t.Fatalf("a silence was found after %d ticks", found)
		}
		for range 30 {
			p.Tick(false)
		}
		if p.Tick(true) != Returned || p.Silent() {
			t.Fatal("the return was not noticed")
		}
	}
}

func TestGreet(t *testing.T) {
	p := newPulse()
	listen(p, "b....")
	p.Greet()
	if got := listen(p, "....."); got != "----S" {
		t.Errorf("after a new connection: %s", got)
	}
}

func TestVerdictString(t *testing.T) {
	for v, want := range map[Verdict]string{Steady: "steady", FellSilent: "fell silent", Returned: "returned"} {
		if v.String() != want {
			t.Errorf("%d is %q, want %q", v, v, want)
		}
	}
}
