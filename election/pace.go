package election

// Pace limits how often a leader hands over. A better member that comes and goes
// must not carry leadership along each time: after a hand-over that did not last,
// the next one waits twice as long. All is in ticks of one process.
type Pace struct {
	// BaseTicks is how long a leader leads before it hands over. It must be set.
	BaseTicks uint64

	wait, since uint64
	tried       uint64
	ever        bool // tried is set
	leading     bool // and nothing came of it yet
}

const (
	// lastedTimes is how many waits a hand-over must last to count as a good one.
	lastedTimes = 3
	// waitMax bounds the wait, in bases.
	waitMax = 8
)

// Lead tells that this member begins to lead.
func (p *Pace) Lead(now uint64) {
	if p.ever && now-p.tried < lastedTimes*p.wait {
		p.wait = min(2*p.wait, waitMax*p.BaseTicks)
	} else {
		p.wait = p.BaseTicks
	}
	p.since, p.leading = now, false
}

// Left is how long this leader should wait before it hands over; zero: it may.
func (p *Pace) Left(now uint64) uint64 {
	if due := p.since + p.wait; due > now {
		return due - now
	}
	return 0
}

// Tried tells that this leader hands over now. If it still leads at the next
// time, that did not work.
func (p *Pace) Tried(now uint64) {
	if p.leading {
		p.wait = min(2*p.wait, waitMax*p.BaseTicks)
	}
	p.tried, p.since, p.ever, p.leading = now, now, true, true
}
