package cmd

import (
	"context"
	"fmt"
)

// objectFormat is the hash of the work tree's repository.
func (t *workTree) objectFormat(ctx context.Context) string {
	format, _ := gitOutput(ctx, "-C", t.dir, "rev-parse", "--show-object-format")
	return format
}

// branch is the branch that is checked out, born or not; empty where HEAD is detached.
func (t *workTree) branch(ctx context.Context) string {
	name, _ := gitOutput(ctx, "-C", t.dir, "symbolic-ref", "--quiet", "--short", "HEAD")
	return name
}

// addRemote makes url a remote: origin, or peer where origin is taken. It never
// changes a remote that leads elsewhere.
func (t *workTree) addRemote(ctx context.Context, url string) (name string, err error) {
	if _, err := gitOutput(ctx, "-C", t.dir, "config", "protocol.peer.allow", "always"); err != nil {
		return "", err
	}
	for _, name := range []string{"origin", "peer"} {
		switch t.config(ctx, "remote."+name+".url") {
		case url:
			return name, nil
		case "":
			_, err := gitOutput(ctx, "-C", t.dir, "remote", "add", "--end-of-options", name, url)
			return name, err
		}
	}
	return "", fmt.Errorf("the remotes origin and peer exist already; add this one yourself: git remote add NAME %s", url)
}
