package register

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Never is when an Answer comes that nobody got.
const Never = int64(1) << 62

// Ledger is all that everybody did, for each ref.
type Ledger struct {
	Begin time.Time

	mu     sync.Mutex
	Refs   map[string][]porcupine.Operation // to be read when all have ended
	Counts map[string]int                   // likewise; of pushed refs by verdict, and reads
}

// NewLedger begins one now.
func NewLedger() *Ledger {
	return &Ledger{Begin: time.Now(), Refs: map[string][]porcupine.Operation{}, Counts: map[string]int{}}
}

// Now is the time of the history, in nanoseconds.
func (l *Ledger) Now() int64 { return time.Since(l.Begin).Nanoseconds() }

// Add notes a Touch that began at called and has just been answered. It returns
// how many there are of that ref.
func (l *Ledger) Add(client int, ref string, in Touch, called int64, out Answer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	returned := l.Now()
	if out.Verdict == Unknown {
		returned = Never
	}
	l.Refs[ref] = append(l.Refs[ref], porcupine.Operation{ClientId: client, Input: in, Output: out, Call: called, Return: returned})
	if in.Kind == Read {
		l.Counts[Read]++
	} else {
		l.Counts[out.Verdict]++
	}
	return len(l.Refs[ref])
}

// Unknowns is how many answers about a ref nobody got. Each doubles what the
// checker may have to try.
func (l *Ledger) Unknowns(ref string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range l.Refs[ref] {
		if op.Return == Never {
			n++
		}
	}
	return n
}

// Print is the history of one ref, in the order of the beginnings.
func (l *Ledger) Print(ref string) string {
	var out strings.Builder
	byCall := func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) }
	for _, op := range slices.SortedFunc(slices.Values(l.Refs[ref]), byCall) {
		end := "   never"
		if op.Return != Never {
			end = fmt.Sprintf("%8.3f", time.Duration(op.Return).Seconds())
		}
		fmt.Fprintf(&out, "%8.3f %s %s\n", time.Duration(op.Call).Seconds(), end, Model.DescribeOperation(op.Input, op.Output))
	}
	return out.String()
}
