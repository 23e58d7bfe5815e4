package container

import (
	"fmt"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// needlessTerms is what one election costs that had no reason, and the hand-over
// back: on a busy machine a node may be taken for a silent one once.
const needlessTerms = 2

// The link between the leader and a follower comes and goes. The follower can't
// hear its leader, and disturbs nobody: pushes go on, under the same leader, and
// in the end it has them all.
//
//	owner ── node1 ─── node2
//	            └─ node3 ┄┄┘   leads
func TestFlappingLink(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	follower, leader := c.nodes[1], c.nodes[2]
	r.awaitLeader(leader)
	before := r.converged()
	for range 3 {
		if err := c.partition(c.nodes[1:2], c.nodes[2:]); err != nil {
			t.Fatal(err)
		}
		ann.push("main")
		r.awaitAlive(follower, leader, false)
		ann.push("cut-off")
		if err := c.heal(); err != nil {
			t.Fatal(err)
		}
		ann.push("main")
		r.awaitAlive(follower, leader, true)
	}
	r.converge()
	ann.wantEverywhere()
	r.awaitLeader(leader)
	wantFewTerms(t, before, r.converged())
}

// Three packets of ten get lost, whatever they carry: pushes and clones are slow,
// and all right.
//
//	owner ── node1 ┄┄┄ node2     each ┄┄ loses 30 % of what it carries
//	            ┆        ┆
//	            └┄ node3 ┘
func TestLossyLinks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	needs(t, c.slow(link{loss: 0.3}))
	for range 4 {
		ann.push("main")
	}
	ann.pushCommit("large", ann.commit("large.bin", content.Random(3, 2<<20)))
	r.converge()
	ann.wantWithin(convergeTimeout)

	// The faults do reach what peer says: lost altogether, nothing is acknowledged.
	needs(t, c.slow(link{loss: 1}))
	ann.refused("lost", "peer: error: ", "peer: hint: ")
	needs(t, c.slow(link{loss: 0.3}))
	ann.push("main")
	needs(t, c.slow(link{}))
	ann.push("main")
	r.converge()
	ann.wantEverywhere()
}

// Everybody is 100 ms away from everybody else. That is slow, and no reason for
// anybody to campaign.
//
//	owner ── node1 ─100 ms─ node2
//	            └─100 ms─ node3 ─┘   leads
func TestSlowLinks(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	leader := c.nodes[2]
	r.awaitLeader(leader)
	const delay = 100 * time.Millisecond
	needs(t, c.slow(link{delay: delay}))
	// A question to the leader, and the leader's to a majority: each there and back.
	if listed := ann.p.TryGit("", "ls-remote", r.url); listed.Code != 0 || listed.Took < 4*delay {
		t.Errorf("a listing must take %v: %v", 4*delay, listed)
	}
	ann.push("main") // from now on a leader that is lost was lost for the delay
	r.awaitLeader(leader)
	before := r.converged()
	for range 5 {
		ann.push("main")
	}
	ann.pushCommit("large", ann.commit("large.bin", content.Random(4, 2<<20)))
	r.converge()
	ann.wantEverywhere()
	wantFewTerms(t, before, r.converged())
	needs(t, c.slow(link{}))
	ann.push("main")
	r.converge()
}

// wantFewTerms wants hardly anybody to have campaigned.
func wantFewTerms(t *testing.T, before, after people.Repo) {
	t.Helper()
	if t.Logf("term %d before, %d after", before.Term, after.Term); after.Term > before.Term+needlessTerms {
		t.Errorf("members campaign without a reason: term %d, and %d before", after.Term, before.Term)
	}
}

// awaitAlive waits until n says that other is alive, or that it is not.
func (r *repo) awaitAlive(n, other *node, want bool) {
	r.c.t.Helper()
	await.Eventually(r.c.t, convergeTimeout, func() error {
		state, err := n.user.Show(r.url)
		if err != nil {
			return err
		}
		for _, p := range state.Replicas {
			if p.Peer == other.peerID && p.Alive == want {
				return nil
			}
		}
		return fmt.Errorf("%s does not say that %s is alive: %v", n.name, other.name, want)
	})
}
