package container

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/await"
)

// manyEach is how many repositories the user of each node has: 200 on five nodes.
const manyEach = 40

// Five nodes carry 200 repositories, which spread over all of them. One is lost;
// everybody goes on pushing to every repository. It comes back, and catches up
// with all that it holds.
//
//	40 of user 1 ── node1 ─┬─ node2 ── 40 of user 2
//	40 of user 3 ── node3 ─┼─ node4 ── 40 of user 4
//	                       └─ node5 ── 40 of user 5, and lost
func TestManyRepositories(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 5})
	begin := time.Now()
	everyone := func(users []*node, script string) {
		t.Helper()
		err := each(users, func(i int) error {
			if said := users[i].user.Run("", "sh", "-ec", script, fmt.Sprint(manyEach)); said.Code != 0 {
				return errors.New(said.String())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	everyone(c.nodes, `git init -q many && cd many && git commit -q --allow-empty -m first
		i=0; while [ $((i += 1)) -le "$0" ]; do peer init "r$i" >/dev/null; git push -q peer://me/"r$i" HEAD:refs/heads/main; done`)
	t.Logf("%d repositories after %v", manyEach*len(c.nodes), time.Since(begin).Round(time.Second))

	// Three of five hold each: 120 replicas a node, if all hold the same share.
	fair := 3 * manyEach
	for _, n := range c.nodes {
		if held := n.held(t); held < fair/2 || held > 2*fair {
			t.Errorf("%s holds %d of %d replicas", n.name, held, fair*len(c.nodes))
		}
	}
	lost := c.nodes[4]
	if err := c.powerLoss(lost); err != nil {
		t.Fatal(err)
	}
	everyone(c.nodes[:4], `cd many && git commit -q --allow-empty -m second
		i=0; while [ $((i += 1)) -le "$0" ]; do git push -q peer://me/"r$i" HEAD:refs/heads/main; done`)
	if err := lost.start(); err != nil {
		t.Fatal(err)
	}
	await.Eventually(t, convergeTimeout, lost.hasCaughtUp)
	everyone(c.nodes[:4], `cd many && want=$(git rev-parse HEAD)
		i=0; while [ $((i += 1)) -le "$0" ]; do test "$(git ls-remote peer://me/"r$i" refs/heads/main)" = "$want	refs/heads/main"; done`)
}

// held is how many repositories a node holds.
func (n *node) held(t *testing.T) int {
	t.Helper()
	status, err := n.user.Status()
	if err != nil {
		t.Fatal(err)
	}
	return len(status.Repos)
}

// hasCaughtUp says what this node still lacks of any repository that it holds.
func (n *node) hasCaughtUp() error {
	status, err := n.user.Status()
	if err != nil {
		return err
	}
	var behind []string
	for _, r := range status.Repos {
		for _, p := range r.Replicas {
			if p.Peer == n.peerID && !p.InSync || r.Leader == "" || r.Problem != "" {
				behind = append(behind, r.Name+" "+r.Problem)
			}
		}
	}
	if len(behind) > 0 {
		return fmt.Errorf("%s is behind with %d: %s", n.name, len(behind), strings.Join(behind, ", "))
	}
	return nil
}
