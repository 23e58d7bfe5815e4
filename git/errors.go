package git

import (
	"fmt"
	"strings"
)

// An ExitError says that git ran and failed, and what it said.
type ExitError struct {
	Command string // the subcommand, as in index-pack
	Code    int    // exit code, -1 when a signal ended it
	Stderr  string // the beginning and the end of what it wrote, without control bytes
	Err     error  // why it was killed, when it was: a context's cause, a signal
}

func (e *ExitError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "git %s: ", e.Command)
	if e.Err != nil {
		b.WriteString(e.Err.Error())
	} else {
		fmt.Fprintf(&b, "exit code %d", e.Code)
	}
	if e.Stderr != "" {
		b.WriteString(": " + e.Stderr)
	}
	return b.String()
}

func (e *ExitError) Unwrap() error { return e.Err }

// A BadPackError says that the pack cannot be accepted: broken, cut short, with
// objects that git's fsck refuses, or meant to exhaust whoever unpacks it.
type BadPackError struct {
	Detail string // in git's words where it had any; bounded, without control bytes
}

func (e *BadPackError) Error() string { return "pack refused: " + e.Detail }

// A TooLargeError says that a pack, as sent or once completed, exceeds the limit.
type TooLargeError struct{ Max int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("pack is larger than %d bytes", e.Max)
}

// A MissingError says that objects are named, directly or by other objects,
// that are neither in the repository nor in the push.
type MissingError struct {
	OIDs   []OID  // of those that were asked for, the absent ones; may be empty
	Detail string // git's words about those further away
}

func (e *MissingError) Error() string {
	switch n := len(e.OIDs); {
	case n == 1:
		return "missing object " + e.OIDs[0].String()
	case n > 1:
		return fmt.Sprintf("missing object %s and %d more", e.OIDs[0], n-1)
	}
	return "missing necessary objects: " + e.Detail
}

// A ShallowError says that the push comes from a shallow clone whose roots the
// repository lacks, so its history would end there.
type ShallowError struct{ Roots []OID }

func (e *ShallowError) Error() string {
	return fmt.Sprintf("shallow update not allowed: the history below %s is not here", e.Roots[0])
}

// A RefNameError says why a ref name is refused.
type RefNameError struct{ Name, Reason string }

func (e *RefNameError) Error() string {
	return fmt.Sprintf("ref name %q: %s", clip(e.Name, 120), e.Reason)
}

// An UnresolvedError names an expression that stands for no object, or for more
// than one.
type UnresolvedError struct{ Expr string }

func (e *UnresolvedError) Error() string {
	return fmt.Sprintf("%q names no single object here", clip(e.Expr, 120))
}

// A VersionError says that git is missing or too old. Its text says what to do.
type VersionError struct {
	Have Version // zero when there is none
	Err  error
}

func (e *VersionError) Error() string {
	if e.Err != nil {
		return "git is not installed, or not in PATH: " + e.Err.Error()
	}
	return fmt.Sprintf("git %s is too old: install git %s or newer", e.Have, OldestVersion)
}

func (e *VersionError) Unwrap() error { return e.Err }
