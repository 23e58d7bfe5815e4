package container

import (
	"testing"

	"peer/itest/internal/content"
)

// Strangers who know nothing but the address of a bootstrap node find each other,
// and carry a repository where its owner names them.
//
//	node1 ─┐
//	node2 ─┼─ boot        node1, node2, node3 then talk to each other
//	node3 ─┘
func TestBootstrapThenJoin(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{bootstrap: true, open: true})
	r := c.create("demo", c.nodes)
	ann := r.begin()
	ann.push("main")
	ann.wantEverywhere()
	r.converge()
}

// The bootstrap node dies, and the network lives on: pushes, clones, a node that
// is started again, then all of them, and a newcomer who is told of a member.
//
//	node1 ─┬─ (boot ✗)
//	node2 ─┤
//	node3 ─┘ ······ node4 joins by node1
func TestBootstrapDies(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{bootstrap: true})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	if err := c.powerLoss(c.boot); err != nil {
		t.Fatal(err)
	}
	ann.push("main")
	ann.wantEverywhere()
	if err := c.nodes[1].restart(); err != nil {
		t.Fatal(err)
	}
	c.awaitMeeting()
	ann.push("main")
	if err := each(c.nodes, func(i int) error { return c.nodes[i].kill() }); err != nil {
		t.Fatal(err)
	}
	if err := each(c.nodes, func(i int) error { return c.nodes[i].start() }); err != nil {
		t.Fatal(err)
	}
	ann.push("main")
	r.converge()
	ann.wantEverywhere()

	c.boot = nil
	c.add()
	s := c.create("second", nil, "--replicas", "3")
	s.converge()
}

// What is pushed through any node is cloned from every other, and by stock git
// from outside.
//
//	owner ── node1 ─── node2 ── owner, away from home
//	            └─ node3 ─┘
//	               │
//	          git:// from outside
func TestPushAndCloneAtEveryNode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	for i, n := range c.nodes {
		if i == 0 {
			continue // done
		}
		away := r.beginAs(c.ownerAt(n.machine), n.name)
		away.push("from-" + n.name)
		ann.tips["from-"+n.name] = away.tips["from-"+n.name]
	}
	large := ann.commit("large.bin", content.Random(7, 3<<20)) // it doesn't ride in an entry
	ann.pushCommit("large", large)
	ann.wantEverywhere()
	ann.wantFromOutside()
	r.converge()
}

// The image is what people deploy: not root, healthy by its own check, and ended
// in order by a stop.
//
//	node1
func TestImage(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 1})
	n := c.nodes[0]
	if who := n.user.Must(n.user.Run("", "sh", "-c", `grep ^Uid: /proc/1/status | { read -r name real rest; echo "$real"; }`)); who == "0" {
		t.Error("peer runs as root")
	}
	if err := n.healthy(); err != nil {
		t.Error(err)
	}
	r := c.create("alone", nil, "--replicas", "1")
	ann := r.begin()
	ann.push("main")
	if code, err := n.stop(); err != nil || code != 0 {
		t.Fatalf("stopped with code %d: %v\n%s", code, err, tail(n.log()))
	}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	ann.wantEverywhere()
}
