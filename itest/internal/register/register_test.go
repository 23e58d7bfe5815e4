package register

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

// The register itself: histories that must pass, and such that must not.
func TestRegister(t *testing.T) {
	t.Parallel()
	swap := func(from, to, verdict string, called, returned int64) porcupine.Operation {
		if verdict == Unknown {
			returned = Never
		}
		return porcupine.Operation{Input: Touch{Kind: Swap, Old: from, New: to}, Output: Answer{Verdict: verdict}, Call: called, Return: returned}
	}
	read := func(value string, called, returned int64) porcupine.Operation {
		return porcupine.Operation{Input: Touch{Kind: Read}, Output: Answer{OK, value}, Call: called, Return: returned}
	}
	write := func(to, verdict string, called, returned int64) porcupine.Operation {
		op := swap("", to, verdict, called, returned)
		op.Input = Touch{Kind: Write, New: to}
		return op
	}
	for _, test := range []struct {
		name string
		fine bool
		ops  []porcupine.Operation
	}{
		{"one after the other", true, []porcupine.Operation{swap("", "a", OK, 0, 1), swap("a", "b", OK, 2, 3), read("b", 4, 5)}},
		{"lost", false, []porcupine.Operation{swap("", "a", OK, 0, 1), read("", 2, 3)}},
		{"an old value", false, []porcupine.Operation{swap("", "a", OK, 0, 1), swap("a", "b", OK, 2, 3), read("a", 4, 5)}},
		{"two winners", false, []porcupine.Operation{swap("", "a", OK, 0, 9), swap("", "b", OK, 0, 9)}},
		{"a winner and a loser", true, []porcupine.Operation{swap("", "a", OK, 0, 9), swap("", "b", Stale, 0, 9), read("a", 10, 11)}},
		{"a loser without a winner", false, []porcupine.Operation{swap("", "b", Stale, 0, 9)}},
		{"refused, and done", false, []porcupine.Operation{swap("", "a", Refused, 0, 1), read("a", 2, 3)}},
		{"unknown, and never", true, []porcupine.Operation{swap("", "a", Unknown, 0, 1), read("", 2, 3)}},
		{"unknown, and much later", true, []porcupine.Operation{swap("", "a", Unknown, 0, 1), read("", 2, 3), read("a", 4, 5)}},
		{"unknown, and undone", false, []porcupine.Operation{swap("", "a", Unknown, 0, 1), read("a", 2, 3), read("", 4, 5)}},
		{"unknown before its time", false, []porcupine.Operation{read("a", 0, 1), swap("", "a", Unknown, 2, 3)}},
		{"written over", true, []porcupine.Operation{swap("", "a", OK, 0, 1), write("b", OK, 2, 3), swap("a", "c", Stale, 4, 5), read("b", 6, 7)}},
		{"deleted", true, []porcupine.Operation{swap("", "a", OK, 0, 1), swap("a", "", OK, 2, 3), read("", 4, 5)}},
		{"back from the dead", false, []porcupine.Operation{swap("", "a", OK, 0, 1), swap("a", "", OK, 2, 3), read("a", 4, 5)}},
	} {
		if fine := porcupine.CheckOperations(Model, test.ops); fine != test.fine {
			t.Errorf("%s: passes: %v", test.name, fine)
		}
	}
}
