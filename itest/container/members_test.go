package container

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"peer/itest/internal/await"
)

// replaceTimeout is the shortest grace, and what a replacement may take.
const replaceTimeout = time.Minute + 2*convergeTimeout

// A machine burns. After the grace that the owner gave it another node takes its
// place by itself, and counts: with one more machine gone, pushes go on.
//
//	owner ── node1 ─── node2          node1 ─── node2
//	            └─ node3 ✗       →       └─ node4 ✓
//	        node4, without a replica
func TestNodeLostForGood(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 4, env: []string{"PEER_REPAIR_EVERY=1s"}})
	r := c.create("demo", c.nodes[:3])
	ann := r.begin()
	ann.push("main")
	c.nodes[0].user.Peer("repo", "replicas", r.url, "--grace", "1m", "--wait", "0s")
	c.destroy(c.nodes[2])
	ann.push("main")
	r.awaitMembers(c.nodes[0], c.nodes[1], c.nodes[3])
	r.converge()
	ann.wantEverywhere()

	if err := c.powerLoss(c.nodes[1]); err != nil {
		t.Fatal(err)
	}
	ann.push("main") // by node1 and the newcomer
	ann.wantEverywhere()
}

// awaitMembers waits until these nodes hold the repository as full members, and
// nobody else does.
func (r *repo) awaitMembers(want ...*node) {
	r.c.t.Helper()
	await.Eventually(r.c.t, replaceTimeout, func() error {
		state, err := r.c.nodes[0].user.Show(r.url)
		if err != nil {
			return err
		}
		var have, wanted []string
		for _, p := range state.Replicas {
			if p.Role != "voter" {
				return fmt.Errorf("%s is a %s yet; %s", p.Peer, p.Role, state.Plan)
			}
			have = append(have, p.Peer)
		}
		for _, n := range want {
			wanted = append(wanted, n.peerID)
		}
		if slices.Sort(have); !slices.Equal(have, slices.Sorted(slices.Values(wanted))) {
			return fmt.Errorf("the members are %v, and should be %v; %s", have, wanted, state.Plan)
		}
		return nil
	})
}
