package replicatest

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"

	"peer/wire"
)

// history is what clients saw, one register for each ref.
type history struct {
	refs map[string][]porcupine.Operation
	// open are transactions whose clients never learned what became of them.
	open []openPush
}

type openPush struct {
	r     *request
	began time.Duration
}

// swap is a compare-and-swap, or a read if it is of kind read. An empty object
// ID: there is no such ref.
type swap struct {
	read     bool
	old, new string
}

// saw is what came of it: the value that was read, or the code.
type saw struct {
	value string
	code  wire.Code
}

func (h *history) add(ref string, in swap, out saw, began, ended int64) {
	if h.refs == nil {
		h.refs = map[string][]porcupine.Operation{}
	}
	h.refs[ref] = append(h.refs[ref], porcupine.Operation{Input: in, Output: out, Call: began, Return: ended})
}

func (h *history) listed(l Listing, began, ended time.Duration) {
	for _, ref := range Names {
		h.add(ref, swap{read: true}, saw{value: l.Refs[ref]}, int64(began), int64(ended))
	}
}

func (h *history) pushed(r *request, o *wire.Outcome, began, ended time.Duration) {
	h.outcome(r, o, int64(began), int64(ended))
}

func (h *history) outcome(r *request, o *wire.Outcome, began, ended int64) {
	for i, result := range o.GetResults() {
		u := r.tx.GetOperations()[i].GetRefUpdate()
		if u != nil && slices.Contains(Names, u.GetName()) {
			h.add(u.GetName(), swap{old: string(u.GetOld()), new: string(u.GetNew())}, saw{code: result.GetCode()}, began, ended)
		}
	}
}

func (h *history) gaveUp(r *request, began time.Duration) {
	h.open = append(h.open, openPush{r, began})
}

// register is one ref. A swap that succeeded found what it expected, one that
// was stale did not; a sibling's failure, a name conflict and a want of room are found
// only after the swap itself would have succeeded. Other refusals say nothing.
var register = porcupine.Model{
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		value, in, out := state.(string), input.(swap), output.(saw)
		switch {
		case in.read:
			return value == out.value, value
		case out.code == wire.Code_CODE_OK:
			return value == in.old, in.new
		case out.code == wire.Code_CODE_STALE:
			return value != in.old, value
		case out.code == wire.Code_CODE_SIBLING, out.code == wire.Code_CODE_NAME_CONFLICT, out.code == wire.Code_CODE_TOO_MANY_REFS:
			return value == in.old, value
		}
		return true, value
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%x -> %x", input, output) },
}

// CheckHistory says whether what the clients saw of each ref could have come
// from one register. It may run beside the next simulation.
func (s *Sim) CheckHistory(patience time.Duration) error {
	h := s.history
	for _, o := range h.open {
		// Whatever nobody was told may have happened at any time since.
		if e := s.ledger.entry(s.ledger.decided[stageKey(o.r.signer[:], o.r.tx.GetId())]); e != nil {
			h.outcome(o.r, e.outcome, int64(o.began), math.MaxInt64)
		}
	}
	for _, ref := range Names {
		if result := porcupine.CheckOperationsTimeout(register, h.refs[ref], patience); result != porcupine.Ok {
			return &Violation{Check: "linearizable", Detail: fmt.Sprintf("%s: %s", ref, result), At: s.now}
		}
	}
	return nil
}
