// Package register judges what clients saw of a ref: it must look like one
// register in one place.
package register

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// Touch is what a client did to one ref.
type Touch struct {
	Kind     string // [Read], [Swap] or [Write]
	Old, New string // object IDs; "" is no such ref
	By       string // who, for people who read a history
}

const (
	Read  = "read"
	Swap  = "swap"  // to new, if it is at old
	Write = "write" // to new, wherever it is
)

// Answer is what the client was told.
type Answer struct {
	Verdict string // [OK], [Stale], [Refused] or [Unknown]
	Value   string // of a read; otherwise why
}

const (
	OK      = "ok"
	Stale   = "stale"   // of a swap: the ref was not at old
	Refused = "refused" // for another reason: nothing happened, and never will
	Unknown = "unknown" // it happened, or it happens later, or never
)

// Model is one ref as everybody should see it.
var Model = porcupine.Model{
	Init:              func() any { return "" },
	Step:              func(state, in, out any) (bool, any) { return step(state.(string), in.(Touch), out.(Answer)) },
	DescribeOperation: func(in, out any) string { return describe(in.(Touch), out.(Answer)) },
}

func step(now string, in Touch, out Answer) (bool, string) {
	matches := in.Kind == Write || in.Old == now
	switch {
	case in.Kind == Read:
		return out.Value == now, now
	case out.Verdict == Refused:
		return true, now
	case out.Verdict == Stale:
		return !matches, now
	case !matches: // an unknown swap that found something else changes nothing
		return out.Verdict == Unknown, now
	}
	return true, in.New
}

func describe(in Touch, out Answer) string {
	if in.Kind == Read {
		return fmt.Sprintf("%s reads %.8s", in.By, out.Value)
	}
	return fmt.Sprintf("%s: %s %.8s -> %.8s: %s", in.By, in.Kind, in.Old, in.New, out.Verdict)
}
