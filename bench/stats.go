package main

import (
	"math"
	"slices"
)

// summary describes a series of measurements in the series' own unit.
type summary struct {
	N    int     `json:"n"`
	Min  float64 `json:"min"`
	P10  float64 `json:"p10"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"` // of fewer than 100 measurements it is the largest
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// summarize sorts a copy. An empty series has a summary of zeros.
func summarize(series []float64) summary {
	if len(series) == 0 {
		return summary{}
	}
	sorted := slices.Sorted(slices.Values(series))
	sum := 0.0
	for _, v := range sorted {
		sum += v
	}
	return summary{
		N: len(sorted), Min: sorted[0], Max: sorted[len(sorted)-1], Mean: sum / float64(len(sorted)),
		P10: percentile(sorted, 10), P50: middle(sorted), P90: percentile(sorted, 90), P99: percentile(sorted, 99),
	}
}

// percentile is the nearest rank: the smallest measurement that p percent of all
// do not exceed, so it is always one that was really taken.
func percentile(sorted []float64, p float64) float64 {
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// middle is the median.
func middle(sorted []float64) float64 {
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// spread is a value and how it varied from round to round.
type spread struct {
	Value float64 `json:"value"`
	P10   float64 `json:"p10"`
	P90   float64 `json:"p90"`
}

// ratioOf is the ratio of the medians, with the spread of the ratios within each
// round: what both contenders suffer in a round cancels out there.
func ratioOf(ours, theirs []float64) spread {
	return compareBy(ours, theirs, func(a, b float64) float64 { return a / b })
}

// differenceOf is likewise by how much ours is more.
func differenceOf(ours, theirs []float64) spread {
	return compareBy(ours, theirs, func(a, b float64) float64 { return a - b })
}

func compareBy(ours, theirs []float64, op func(a, b float64) float64) spread {
	rounds := make([]float64, min(len(ours), len(theirs)))
	for i := range rounds {
		rounds[i] = op(ours[i], theirs[i])
	}
	each := summarize(rounds)
	return spread{Value: op(summarize(ours).P50, summarize(theirs).P50), P10: each.P10, P90: each.P90}
}
