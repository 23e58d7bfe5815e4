package container

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"peer/itest/internal/await"
)

// wantStale wants node n to say of its listings that no leader confirmed them.
func wantStale(t *testing.T, r *repo, n *node) {
	t.Helper()
	await.Eventually(t, convergeTimeout, func() error {
		listed := n.user.TryGit("", "ls-remote", r.url)
		switch {
		case listed.Code != 0:
			return errors.New(listed.String())
		case !listed.Stale():
			return fmt.Errorf("%s serves a listing as if it were confirmed: %v", n.name, listed)
		}
		return nil
	})
}

func wantNoBranch(t *testing.T, refs, branch string) {
	t.Helper()
	if strings.Contains(refs, "refs/heads/"+branch+" ") {
		t.Errorf("%s was refused, and is there:\n%s", branch, refs)
	}
}
