package replicatest

import (
	"fmt"
	"strings"
	"time"
)

// traceLines is how much of the end of a run is kept to be shown.
const traceLines = 400

// trace remembers what happened: a hash of all of it, and the last lines.
type trace struct {
	lines []line
	count uint64
	hash  uint64
}

type line struct {
	at      time.Duration
	who     int
	what    string
	a, b, c uint64
}

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (t *trace) add(l line) {
	if t.lines == nil {
		t.lines, t.hash = make([]line, traceLines), fnvOffset
	}
	for _, v := range [...]uint64{uint64(l.at), uint64(l.who), l.a, l.b, l.c} {
		t.hash = (t.hash ^ v) * fnvPrime
	}
	for i := range len(l.what) {
		t.hash = (t.hash ^ uint64(l.what[i])) * fnvPrime
	}
	t.lines[t.count%traceLines] = l
	t.count++
}

// note adds a line about a member, or about nobody if who is negative.
func (s *Sim) note(who int, what string, numbers ...uint64) {
	l := line{at: s.now, who: who, what: what}
	for i, to := range [...]*uint64{&l.a, &l.b, &l.c} {
		if i < len(numbers) {
			*to = numbers[i]
		}
	}
	s.add(l)
}

// Fingerprint is a hash of everything that happened, and how many lines that were.
func (s *Sim) Fingerprint() (hash, lines uint64) { return s.hash, s.count }

// Tail spells the last lines of what happened.
func (s *Sim) Tail(lines int) string {
	var b strings.Builder
	kept := min(s.count, traceLines, uint64(lines))
	for i := s.count - kept; i < s.count; i++ {
		l := s.lines[i%traceLines]
		who := "      "
		if l.who >= 0 {
			who = fmt.Sprintf("node%-2d", l.who)
		}
		fmt.Fprintf(&b, "%12s %s %-28s %d %d %d\n", l.at, who, l.what, l.a, l.b, l.c)
	}
	return b.String()
}
