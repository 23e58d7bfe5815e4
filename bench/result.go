package main

import (
	"fmt"
	"math"
)

// result is what a row gives.
type result struct {
	Row         string        `json:"row"`
	What        string        `json:"what"`
	Unit        string        `json:"unit"`
	Rounds      int           `json:"rounds"`
	Entries     []*entry      `json:"contenders,omitempty"`
	Comparisons []*comparison `json:"comparisons,omitempty"`
	Facts       []fact        `json:"facts,omitempty"`
	Error       string        `json:"error,omitempty"`
}

// entry is a contender's part in a row.
type entry struct {
	Name    string             `json:"name"`
	Summary summary            `json:"summary"`
	Beside  map[string]summary `json:"beside,omitempty"`
	Skipped string             `json:"skipped,omitempty"`
	Error   string             `json:"error,omitempty"`

	series []float64
	beside map[string][]float64
}

// comparison is a number that has a target.
type comparison struct {
	What   string `json:"what"`
	Spread spread `json:"spread"`
	Paired bool   `json:"paired"` // over rounds: the spread says something
	Target target `json:"target"`
	Met    bool   `json:"met"`
	Error  string `json:"error,omitempty"`
}

// target is what a comparison should be.
type target struct {
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"at_least,omitempty"` // otherwise at most
	Unit    string  `json:"unit"`
}

func atMost(limit float64, unit string) target { return target{Limit: limit, Unit: unit} }
func atLeast(limit float64, unit string) target {
	return target{Limit: limit, AtLeast: true, Unit: unit}
}

func (t target) met(v float64) bool {
	if t.AtLeast {
		return v >= t.Limit
	}
	return v <= t.Limit
}

// fact is a number that has no target.
type fact struct {
	What  string  `json:"what"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit,omitempty"`
	Note  string  `json:"note,omitempty"`
}

func (r *result) enter(c *contender) *entry {
	e := &entry{Name: c.name, Skipped: c.skip, beside: map[string][]float64{}}
	r.Entries = append(r.Entries, e)
	return e
}

func (r *result) entry(name string) *entry {
	for _, e := range r.Entries {
		if e.Name == name {
			return e
		}
	}
	panic(fmt.Sprintf("row %s has no contender %q", r.Row, name))
}

func (r *result) fact(what string, value float64, unit string) {
	r.Facts = append(r.Facts, fact{What: what, Value: value, Unit: unit})
}

// note adds what a round gave.
func (e *entry) note(s sample) {
	e.series = append(e.series, s.value)
	e.Summary = summarize(e.series)
	for what, v := range s.beside {
		e.beside[what] = append(e.beside[what], v)
		if e.Beside == nil {
			e.Beside = map[string]summary{}
		}
		e.Beside[what] = summarize(e.beside[what])
	}
}

// ratio compares two contenders of a race.
func (r *result) ratio(ours, theirs string, t target) {
	r.compare(ours+" / "+theirs, ours, theirs, t, ratioOf)
}

// more compares them by difference of medians.
func (r *result) more(ours, theirs string, t target) {
	r.compare(ours+" - "+theirs+", p50", ours, theirs, t, differenceOf)
}

// tailMore is by how much the p99 of ours exceeds the median of theirs.
func (r *result) tailMore(ours, theirs string, t target) {
	r.compare(ours+" - "+theirs+", p99", ours, theirs, t, func(a, b []float64) spread {
		return spread{Value: summarize(a).P99 - summarize(b).P50}
	})
	r.Comparisons[len(r.Comparisons)-1].Paired = false
}

func (r *result) compare(what, ours, theirs string, t target, op func(a, b []float64) spread) {
	c := &comparison{What: what, Target: t, Paired: true}
	r.Comparisons = append(r.Comparisons, c)
	for _, name := range []string{ours, theirs} {
		e := r.entry(name)
		switch {
		case e.Skipped != "":
			c.Error = name + " was skipped"
			return
		case e.Error != "":
			c.Error = name + " failed"
			return
		case e.Summary.N == 0:
			c.Error = name + " has no rounds"
			return
		}
	}
	s := op(r.entry(ours).series, r.entry(theirs).series)
	for _, v := range []float64{s.Value, s.P10, s.P90} {
		if math.IsInf(v, 0) || math.IsNaN(v) { // which JSON can't hold
			c.Error = theirs + " took no time"
			return
		}
	}
	c.Spread = s
	c.Met = t.met(c.Spread.Value)
}

// absolute holds a value against a target that names no contender.
func (r *result) absolute(what string, value float64, t target) {
	r.Comparisons = append(r.Comparisons, &comparison{What: what, Spread: spread{Value: value}, Target: t, Met: t.met(value)})
}
