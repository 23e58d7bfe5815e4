package election

import "testing"

// A better member that comes and goes every 100 ticks gets leadership less and less often.
func TestPace(t *testing.T) {
	p := Pace{BaseTicks: 20}
	now := uint64(1000)
	p.Lead(now)
	if p.Left(now) != 20 || p.Left(now+19) != 1 || p.Left(now+20) != 0 {
		t.Errorf("%d, %d and %d ticks left", p.Left(now), p.Left(now+19), p.Left(now+20))
	}
	for _, want := range []uint64{40, 80, 160} {
		p.Tried(now)
		now += 10 // and it is lost again
		p.Lead(now)
		if got := p.Left(now); got != want {
			t.Fatalf("%d ticks to wait, want %d", got, want)
		}
		now += want
	}
	for range 10 {
		p.Tried(now)
		p.Lead(now + 1)
	}
	if got := p.Left(now + 1); got != waitMax*20 {
		t.Errorf("%d ticks to wait, the most is %d", got, waitMax*20)
	}
	// One that lasted makes good.
	p.Tried(now)
	now += lastedTimes * waitMax * 20
	p.Lead(now)
	if got := p.Left(now); got != 20 {
		t.Errorf("%d ticks to wait after a hand-over that lasted", got)
	}
}

// A hand-over that the other side does not take is tried less and less often.
func TestPaceOfFailures(t *testing.T) {
	p := Pace{BaseTicks: 20}
	now := uint64(50)
	p.Lead(now)
	for _, want := range []uint64{20, 40, 80} {
		now += p.Left(now)
		p.Tried(now)
		if got := p.Left(now); got != want {
			t.Fatalf("%d ticks to wait, want %d", got, want)
		}
	}
}
