package node

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"peer/identity"
	"peer/wire"
)

// A FailureError is a refusal that crosses the wire: what happened, and what to
// type next.
type FailureError struct{ F *wire.Failure }

func (e *FailureError) Error() string { return e.F.GetMessage() }

// Failure is the refusal as the wire carries it.
func (e *FailureError) Failure() *wire.Failure { return e.F }

func failure(code wire.FailureCode, message, hint string) *FailureError {
	// What git or a disk said may be no text, which no message can carry.
	return &FailureError{&wire.Failure{Code: code, Message: strings.ToValidUTF8(message, "?"), Hint: strings.ToValidUTF8(hint, "?")}}
}

// failureOf turns any error into a refusal. What we did not mean for the other
// side is called internal.
func failureOf(err error) *wire.Failure {
	var known interface{ Failure() *wire.Failure }
	if errors.As(err, &known) {
		return known.Failure()
	}
	return &wire.Failure{
		Code:    wire.FailureCode_FAILURE_INTERNAL,
		Message: "the replica failed: " + withoutPaths(err),
		Hint:    "nothing was changed; try again, and look at the node's log if it stays",
	}
}

// localDirs are the directories of an absolute path.
var localDirs = regexp.MustCompile(`(^|[\s'"(=:])/(?:[^\s/:'"]+/)+`)

// withoutPaths is what others may read of an error of this machine: all of it but where its
// files are, which is for the operator's log.
func withoutPaths(err error) string {
	return localDirs.ReplaceAllString(strings.ToValidUTF8(err.Error(), "?"), "$1…/")
}

func errNotFound(repo identity.RepoID) error {
	return failure(wire.FailureCode_FAILURE_NOT_FOUND,
		fmt.Sprintf("repository %s is not known here", repo.Short()),
		"check the owner and the name; 'peer repo ls' lists what this node holds")
}

func errBadRequest(format string, args ...any) error {
	return failure(wire.FailureCode_FAILURE_BAD_REQUEST, fmt.Sprintf(format, args...), "")
}
