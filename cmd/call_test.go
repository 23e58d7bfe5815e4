package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/replica"
	"peer/wire"
)

// TestUnansweredChange has a node that says nothing about a change in time: it may have
// been committed, and nobody may be told that the same again is safe.
func TestUnansweredChange(t *testing.T) {
	t.Parallel()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	n, err := control.Serve(t.Context(), control.Options{
		SocketPath: home.SocketPath(), TokenPath: home.TokenPath(), Backend: &fakeNode{}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	if _, err := home.Key(); err != nil {
		t.Fatal(err)
	}
	a, repo := &app{home: home}, identity.KeyFromSeed([32]byte{1}).Public().DID()+"/demo"
	answer := func(err error) func(context.Context, repoAPI, string) error {
		return func(context.Context, repoAPI, string) error { return err }
	}
	late := fmt.Errorf("lock: %w", context.DeadlineExceeded)
	if err := a.changeRepo(t.Context(), repo, answer(late)); exitCode(err) != exitUnknown || !strings.Contains(fmt.Sprint(err), repo) {
		t.Errorf("a change: %v, exit code %d", err, exitCode(err))
	}
	if err := a.callRepo(t.Context(), repo, answer(late)); exitCode(err) != exitUnavailable {
		t.Errorf("a question: %v, exit code %d", err, exitCode(err))
	}
	if err := a.changeRepo(t.Context(), repo, answer(errNobody)); !errors.Is(err, errNobody) {
		t.Errorf("a change that is refused: %v", err)
	}
}

// TestChangedAndNotShown has a change committed, and nobody to show the repository then.
func TestChangedAndNotShown(t *testing.T) {
	t.Parallel()
	home, err := OpenHome(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &repoBackend{home: home}
	g := &replica.Genesis{Name: "demo", Repo: identity.RepoID{1}, Hash: identity.GenesisHash{1}}
	done := &replica.Done{Genesis: g, Outcome: &wire.Outcome{Index: 42}, Durable: 2, Replicas: 3}
	_, err = b.changed(t.Context())(node.Info{}, done, refusal(wire.FailureCode_FAILURE_NO_QUORUM, "no replica answers", ""))
	if said := control.AsError(err); said == nil || said.Code != wire.FailureCode_FAILURE_NO_QUORUM || !strings.Contains(said.Message, "committed at index 42") || !strings.Contains(said.Message, "no replica answers") {
		t.Errorf("it says %v", err)
	}
}
