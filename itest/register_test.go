package itest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// A touch is what a client did to one ref.
type touch struct {
	kind     string // read, swap or write
	old, new string // object IDs; "" is no such ref
	by       string // who, for people who read a history
}

const (
	touchRead  = "read"
	touchSwap  = "swap"  // to new, if it is at old
	touchWrite = "write" // to new, wherever it is
)

// An answer is what the client was told.
type answer struct {
	verdict string
	value   string // of a read
}

const (
	answerOK      = "ok"
	answerStale   = "stale"   // of a swap: the ref was not at old
	answerRefused = "refused" // for another reason: nothing happened, and never will
	answerUnknown = "unknown" // it happened, or it happens later, or never
)

// register is one ref as everybody should see it.
var register = porcupine.Model{
	Init:              func() any { return "" },
	Step:              func(state, in, out any) (bool, any) { return step(state.(string), in.(touch), out.(answer)) },
	DescribeOperation: func(in, out any) string { return describe(in.(touch), out.(answer)) },
}

func step(now string, in touch, out answer) (bool, string) {
	matches := in.kind == touchWrite || in.old == now
	switch {
	case in.kind == touchRead:
		return out.value == now, now
	case out.verdict == answerRefused:
		return true, now
	case out.verdict == answerStale:
		return !matches, now
	case !matches: // an unknown swap that found something else changes nothing
		return out.verdict == answerUnknown, now
	}
	return true, in.new
}

func describe(in touch, out answer) string {
	if in.kind == touchRead {
		return fmt.Sprintf("%s reads %.8s", in.by, out.value)
	}
	return fmt.Sprintf("%s: %s %.8s -> %.8s: %s", in.by, in.kind, in.old, in.new, out.verdict)
}

// never is when an answer comes that nobody got.
const never = int64(1) << 62

// ledger is all that everybody did, for each ref.
type ledger struct {
	begin time.Time

	mu     sync.Mutex
	refs   map[string][]porcupine.Operation
	counts map[string]int // of pushed refs by verdict, and reads
}

func newLedger() *ledger {
	return &ledger{begin: time.Now(), refs: map[string][]porcupine.Operation{}, counts: map[string]int{}}
}

func (l *ledger) now() int64 { return time.Since(l.begin).Nanoseconds() }

// add notes a touch that began at called and has just been answered. It returns
// how many there are of that ref.
func (l *ledger) add(client int, ref string, in touch, called int64, out answer) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	returned := l.now()
	if out.verdict == answerUnknown {
		returned = never
	}
	l.refs[ref] = append(l.refs[ref], porcupine.Operation{ClientId: client, Input: in, Output: out, Call: called, Return: returned})
	if in.kind == touchRead {
		l.counts[touchRead]++
	} else {
		l.counts[out.verdict]++
	}
	return len(l.refs[ref])
}

// unknowns is how many answers about a ref nobody got. Each doubles what the
// checker may have to try.
func (l *ledger) unknowns(ref string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, op := range l.refs[ref] {
		if op.Return == never {
			n++
		}
	}
	return n
}

// The register itself: histories that must pass, and such that must not.
func TestRegister(t *testing.T) {
	t.Parallel()
	swap := func(from, to, verdict string, called, returned int64) porcupine.Operation {
		if verdict == answerUnknown {
			returned = never
		}
		return porcupine.Operation{Input: touch{kind: touchSwap, old: from, new: to}, Output: answer{verdict: verdict}, Call: called, Return: returned}
	}
	read := func(value string, called, returned int64) porcupine.Operation {
		return porcupine.Operation{Input: touch{kind: touchRead}, Output: answer{answerOK, value}, Call: called, Return: returned}
	}
	write := func(to, verdict string, called, returned int64) porcupine.Operation {
		op := swap("", to, verdict, called, returned)
		op.Input = touch{kind: touchWrite, new: to}
		return op
	}
	for _, test := range []struct {
		name string
		fine bool
		ops  []porcupine.Operation
	}{
		{"one after the other", true, []porcupine.Operation{swap("", "a", answerOK, 0, 1), swap("a", "b", answerOK, 2, 3), read("b", 4, 5)}},
		{"lost", false, []porcupine.Operation{swap("", "a", answerOK, 0, 1), read("", 2, 3)}},
		{"an old value", false, []porcupine.Operation{swap("", "a", answerOK, 0, 1), swap("a", "b", answerOK, 2, 3), read("a", 4, 5)}},
		{"two winners", false, []porcupine.Operation{swap("", "a", answerOK, 0, 9), swap("", "b", answerOK, 0, 9)}},
		{"a winner and a loser", true, []porcupine.Operation{swap("", "a", answerOK, 0, 9), swap("", "b", answerStale, 0, 9), read("a", 10, 11)}},
		{"a loser without a winner", false, []porcupine.Operation{swap("", "b", answerStale, 0, 9)}},
		{"refused, and done", false, []porcupine.Operation{swap("", "a", answerRefused, 0, 1), read("a", 2, 3)}},
		{"unknown, and never", true, []porcupine.Operation{swap("", "a", answerUnknown, 0, 1), read("", 2, 3)}},
		{"unknown, and much later", true, []porcupine.Operation{swap("", "a", answerUnknown, 0, 1), read("", 2, 3), read("a", 4, 5)}},
		{"unknown, and undone", false, []porcupine.Operation{swap("", "a", answerUnknown, 0, 1), read("a", 2, 3), read("", 4, 5)}},
		{"unknown before its time", false, []porcupine.Operation{read("a", 0, 1), swap("", "a", answerUnknown, 2, 3)}},
		{"written over", true, []porcupine.Operation{swap("", "a", answerOK, 0, 1), write("b", answerOK, 2, 3), swap("a", "c", answerStale, 4, 5), read("b", 6, 7)}},
		{"deleted", true, []porcupine.Operation{swap("", "a", answerOK, 0, 1), swap("a", "", answerOK, 2, 3), read("", 4, 5)}},
		{"back from the dead", false, []porcupine.Operation{swap("", "a", answerOK, 0, 1), swap("a", "", answerOK, 2, 3), read("a", 4, 5)}},
	} {
		if fine := porcupine.CheckOperations(register, test.ops); fine != test.fine {
			t.Errorf("%s: passes: %v", test.name, fine)
		}
	}
}
