package main

import (
	"math"
	"testing"
)

func TestSummarize(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[len(hundred)-1-i] = float64(i + 1) // 100, 99, …, 1
	}
	for _, c := range []struct {
		name   string
		series []float64
		want   summary
	}{
		{"empty", nil, summary{}},
		{"one", []float64{7}, summary{N: 1, Min: 7, P10: 7, P50: 7, P90: 7, P99: 7, Max: 7, Mean: 7}},
		{"even", []float64{4, 1, 3, 2}, summary{N: 4, Min: 1, P10: 1, P50: 2.5, P90: 4, P99: 4, Max: 4, Mean: 2.5}},
		{"odd", []float64{9, 1, 5}, summary{N: 3, Min: 1, P10: 1, P50: 5, P90: 9, P99: 9, Max: 9, Mean: 5}},
		{"hundred", hundred, summary{N: 100, Min: 1, P10: 10, P50: 50.5, P90: 90, P99: 99, Max: 100, Mean: 50.5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := summarize(c.series); got != c.want {
				t.Errorf("summarize(%v) = %+v, want %+v", c.series, got, c.want)
			}
		})
	}
}

func TestSummarizeKeepsTheSeries(t *testing.T) {
	series := []float64{3, 1, 2}
	summarize(series)
	if series[0] != 3 || series[1] != 1 || series[2] != 2 {
		t.Errorf("the series became %v: rounds can't be paired any more", series)
	}
}

// A disturbance that hits both contenders of one round widens neither the ratio
// nor its spread.
func TestRatioPairsRounds(t *testing.T) {
	ours := []float64{20, 22, 200}
	theirs := []float64{10, 11, 100}
	if got := ratioOf(ours, theirs); got != (spread{Value: 2, P10: 2, P90: 2}) {
		t.Errorf("ratioOf = %+v, want 2 throughout", got)
	}
	if got := differenceOf(ours, theirs); got != (spread{Value: 11, P10: 10, P90: 100}) {
		t.Errorf("differenceOf = %+v", got)
	}
}

// Contenders that failed in the middle leave a shorter series.
func TestRatioOfUnequalLengths(t *testing.T) {
	if got := ratioOf([]float64{3, 6}, []float64{3}); got.P90 != 1 || got.Value != 1.5 {
		t.Errorf("ratioOf = %+v", got)
	}
	if got := ratioOf([]float64{3}, nil); !math.IsInf(got.Value, 1) {
		t.Errorf("ratio to nothing = %v, want +Inf", got.Value)
	}
}
