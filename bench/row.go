package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// row is one line of the table of targets.
type row struct {
	name   string // what -run matches
	what   string // what is measured, for people
	rounds int    // unless -rounds or -quick say otherwise
	run    func(ctx context.Context, b *bench, rounds int, out *result) error
}

// contender is one way to do what a row measures.
type contender struct {
	name string
	skip string // if not "", why it takes no part

	// prepare, if any, makes a round possible. Its time does not count.
	prepare func(ctx context.Context) error
	// round does it once. Rounds of different contenders never overlap.
	round func(ctx context.Context) (sample, error)
	// settle, if any, brings back the state before the round. It runs even if
	// the round failed, and its time does not count.
	settle func(ctx context.Context) error
}

// sample is what one round gave: the value in the row's unit, and other things
// measured on the way, by their name with its unit.
type sample struct {
	value  float64
	beside map[string]float64
}

// roundTimeout bounds one round of one contender with all around it.
const roundTimeout = 20 * time.Minute

// race lets the contenders take turns and notes their series in the result. One
// that fails drops out with its error; the others go on. warm is how many rounds
// are run first and not counted.
func race(ctx context.Context, out *result, rounds, warm int, contenders ...*contender) error {
	entries := make([]*entry, len(contenders))
	for i, c := range contenders {
		entries[i] = out.enter(c)
	}
	for n := range warm + rounds {
		for _, i := range rotated(len(contenders), n) {
			c, e := contenders[i], entries[i]
			if c.skip != "" || e.Error != "" {
				continue
			}
			s, err := turn(ctx, c)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if err != nil {
				e.Error = fmt.Sprintf("round %d: %v", n+1, err)
				continue
			}
			if n >= warm {
				e.note(s)
			}
		}
	}
	return nil
}

func turn(ctx context.Context, c *contender) (s sample, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundTimeout, errors.New("the round took too long"))
	defer cancel()
	if c.settle != nil {
		defer func() { err = errors.Join(err, c.settle(ctx)) }()
	}
	if c.prepare != nil {
		if err := c.prepare(ctx); err != nil {
			return s, fmt.Errorf("prepare: %w", err)
		}
	}
	return c.round(ctx)
}

// rotated is the order of n contenders in a round: each is first as often as the
// others, and never always behind the same one's leftovers at the start.
func rotated(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (i + round) % n
	}
	return order
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
