package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestRaceAlternates(t *testing.T) {
	var order []string
	entrant := func(name string) *contender {
		return &contender{name: name, round: func(context.Context) (sample, error) {
			order = append(order, name)
			return sample{value: float64(len(order))}, nil
		}}
	}
	out := new(result)
	if err := race(t.Context(), out, 2, 1, entrant("a"), entrant("b"), entrant("c")); err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "b", "c", "a", "c", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if got, want := out.entry("a").series, []float64{6, 8}; !slices.Equal(got, want) {
		t.Errorf("series of a %v, want %v: the first round is for warming up", got, want)
	}
}

func TestRaceGoesOnWithoutWhoFails(t *testing.T) {
	settled, rounds := 0, 0
	bad := &contender{
		name:   "bad",
		round:  func(context.Context) (sample, error) { return sample{}, errors.New("broken") },
		settle: func(context.Context) error { settled++; return nil },
	}
	good := &contender{name: "good", round: func(context.Context) (sample, error) { rounds++; return sample{}, nil }}
	absent := &contender{name: "absent", skip: "not built", round: func(context.Context) (sample, error) {
		t.Error("a contender that is to be skipped was run")
		return sample{}, nil
	}}
	out := new(result)
	if err := race(t.Context(), out, 3, 0, bad, good, absent); err != nil {
		t.Fatal(err)
	}
	if rounds != 3 || settled != 1 {
		t.Errorf("%d rounds of the good one and %d of the bad, want 3 and 1", rounds, settled)
	}
	if e := out.entry("bad").Error; !strings.Contains(e, "broken") {
		t.Errorf("error of the bad one: %q", e)
	}
	if out.ratio("good", "bad", atMost(1, "x")); out.Comparisons[0].Error == "" {
		t.Error("a comparison with one that failed has a value")
	}
}

func TestRaceEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &contender{name: "a", round: func(context.Context) (sample, error) { cancel(); return sample{}, ctx.Err() }}
	if err := race(ctx, new(result), 5, 0, c); !errors.Is(err, context.Canceled) {
		t.Errorf("race after an interrupt: %v", err)
	}
}
