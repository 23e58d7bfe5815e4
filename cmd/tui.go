package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"peer/node/control"
	"peer/wire"
)

// Exit codes. They are part of the contract with scripts: docs/cli.md has the
// table, and codes are added, never changed. Commands that run git exit as git did.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2   // the command line, or the config file
	exitNotRunning  = 3   // no node runs for the home, and none is known that could do instead
	exitNotFound    = 4   // no such repository, petname, …
	exitNotAllowed  = 5   // by the policy, or by the token
	exitUnavailable = 6   // no quorum, no leader, busy: the same again may work
	exitUnknown     = 7   // it may have happened all the same: look before you repeat it
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// fault is an error with what to type next, and perhaps an exit code of its own.
type fault struct {
	err  error
	hint string
	exit int // 0: by the kind of err
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

// hinted adds what to type next to err.
func hinted(err error, hint string) error { return &fault{err: err, hint: hint} }

// usage is an error of the command line.
func usage(hint, format string, args ...any) error {
	return &fault{err: fmt.Errorf(format, args...), hint: hint, exit: exitUsage}
}

// silent keeps an error findable by errors.Is without printing it.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// exitStatus ends the program with the code of a child that has already said
// everything that there is to say.
type exitStatus int

func (e exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// report prints err the way that every error of peer is printed, and says with
// what code to exit.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintf(w, "peer: error: %s\n", tidy(err.Error()))
	if hint := hintOf(err); hint != "" {
		fmt.Fprintf(w, "peer: hint: %s\n", tidy(hint))
	}
	return exitCode(err)
}

func warn(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, "peer: warning: %s\n", tidy(fmt.Sprintf(format, args...)))
}

func hintOf(err error) string {
	var f *fault
	if errors.As(err, &f) && f.hint != "" {
		return f.hint
	}
	var refusal *control.Error
	if errors.As(err, &refusal) {
		return refusal.Hint
	}
	return ""
}

func exitCode(err error) int {
	// NB: first, since it wraps what the last attempt ended with.
	var unknown *unknownOutcome
	if errors.As(err, &unknown) {
		return exitUnknown
	}
	var f *fault
	if errors.As(err, &f) && f.exit != 0 {
		return f.exit
	}
	if errors.Is(err, control.ErrNotRunning) {
		return exitNotRunning
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return exitUnavailable
	}
	var refusal *control.Error
	if !errors.As(err, &refusal) {
		return exitFailed
	}
	if refusal.Unknown {
		return exitUnknown
	}
	switch refusal.Code {
	case wire.FailureCode_FAILURE_NOT_FOUND:
		return exitNotFound
	case wire.FailureCode_FAILURE_NOT_ALLOWED:
		return exitNotAllowed
	case wire.FailureCode_FAILURE_NO_QUORUM, wire.FailureCode_FAILURE_NOT_LEADER, wire.FailureCode_FAILURE_BUSY:
		return exitUnavailable
	default:
		return exitFailed
	}
}

// tidy keeps a message on the terminal where it belongs: further lines are
// indented, and characters that could move the cursor or hide text, which a
// message may quote from the network, are replaced.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.TrimSpace(s))
	return strings.ReplaceAll(s, "\n", "\n  ")
}

// shellQuote spells s so that a shell reads it as one word.
func shellQuote(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
