package node_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// At no moment of its publication does a ref name objects that are not there:
// whoever reads the repository, or finds it after a crash, has all of them.
func TestRefsFollowTheirObjects(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var broken []string
	looks := map[string]int{}
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		repos := cfg.ReposDir
		cfg.Fail = func(point string) {
			if !strings.HasPrefix(point, "publish-") {
				return
			}
			said := whatIsMissing(t, repos)
			mu.Lock()
			defer mu.Unlock()
			if looks[point]++; said != "" {
				broken = append(broken, point+": "+said)
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client, tip := c.Client(g), git.OID{}
	for i, size := range []int{100, 300_000, 100} { // the second is staged
		var parents []git.OID
		if !tip.IsZero() {
			parents = append(parents, tip)
		}
		next := sha1.File(uint64(i), size, parents...)
		mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, tip, next.OID)))
		tip = next.OID
	}
	c.Converge(g)
	mu.Lock()
	defer mu.Unlock()
	if len(looks) != 3 {
		t.Errorf("looked at %v: want three points", looks)
	}
	if len(broken) > 0 {
		t.Errorf("refs without their objects:\n%s", strings.Join(broken, "\n"))
	}
}

// whatIsMissing asks git about the repositories in a directory; "" is nothing.
func whatIsMissing(t *testing.T, repos string) string {
	found, err := filepath.Glob(filepath.Join(repos, "*", "*.git"))
	if err != nil || len(found) != 1 {
		return fmt.Sprintf("%d repositories: %v", len(found), err)
	}
	cmd := exec.CommandContext(t.Context(), "git", "--git-dir", found[0], "rev-list", "--objects", "--all", "--quiet")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v: %s", err, said)
	}
	return ""
}
