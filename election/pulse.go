package election

import "slices"

// Pulse tells from the beats of another node whether that node fell silent. It
// counts the turns of its own process, never a clock: a process that was stopped,
// or a machine that slept, has not listened meanwhile.
//
// Patience grows with the round trip, since a lost packet costs one before it is
// sent again, and with how unevenly the beats came of late, so that a busy machine
// is not taken for a dead one.
type Pulse struct {
	// FloorTicks is the least silence that counts. It must be set.
	FloorTicks int
	// TickMicros is how long a tick takes. It must be set.
	TickMicros int64

	quiet  int // ticks without a beat
	silent bool
	// uneven is the longest pause of late, in ticks; it fades.
	uneven float64
	trips  [tripsKept]int64 // the last round trips, in microseconds
	taken  int              // how many there were
}

const (
	// tripsKept is of how many round trips the median is taken: a few that waited
	// in the queue of a stopped process say nothing about the way.
	tripsKept = 9
	// tripMicrosMax bounds what a broken clock, or a liar, can make of a round trip.
	tripMicrosMax = 10_000_000
	// unevenFade is what is left of a long pause after each beat.
	unevenFade = 0.99
	// patienceMax bounds patience, in floors.
	patienceMax = 12
)

// Verdict is what a tick found out.
type Verdict int

// The zero value is that nothing changed.
const (
	Steady Verdict = iota
	FellSilent
	Returned
)

func (v Verdict) String() string { return [...]string{"steady", "fell silent", "returned"}[v] }

// Tick tells that the process took one more turn, and whether it heard anything
// from the node since the one before.
func (p *Pulse) Tick(heard bool) Verdict {
	if !heard {
		p.quiet = min(p.quiet+1, patienceMax*p.FloorTicks)
		if p.silent || p.quiet < p.Patience() {
			return Steady
		}
		p.silent = true
		return FellSilent
	}
	pause := float64(p.quiet + 1)
	p.quiet = 0
	if p.silent {
		p.silent = false
		return Returned
	}
	p.uneven = max(pause, p.uneven*unevenFade)
	return Steady
}

// Silent says whether the node is taken to be silent.
func (p *Pulse) Silent() bool { return p.silent }

// Greet begins anew with a node that has just connected: its silence counts from now.
func (p *Pulse) Greet() { p.quiet = 0 }

// Patience is after how many ticks without a beat the node is taken to be silent.
func (p *Pulse) Patience() int {
	ticks := max(p.FloorTicks, int(2*p.uneven)+1) + int(2*p.RoundTripMicros()/p.TickMicros)
	return min(ticks, patienceMax*p.FloorTicks)
}

// Measured takes one round trip.
func (p *Pulse) Measured(micros int64) {
	p.trips[p.taken%tripsKept] = min(max(micros, 0), tripMicrosMax)
	p.taken++
}

// RoundTripMicros is the median of the last round trips; zero before the first.
func (p *Pulse) RoundTripMicros() int64 {
	kept := min(p.taken, tripsKept)
	if kept == 0 {
		return 0
	}
	trips := p.trips
	slices.Sort(trips[:kept])
	return trips[kept/2]
}
