package container

import (
	"testing"
)

// Somebody whose machine runs no node clones; with the owner's key they push, and
// go on when the node that leads is gone. Somebody else's push is refused.
//
//	guest ┄┄ node1 ─── node2
//	            └─ node3 ─┘
//	                 ✗
func TestClientWithoutANode(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	guest := c.guest("guest")

	eve := r.beginAs(guest.person("eve", nil), "eve")
	if err := ann.wantAt("the guest", eve.p, 0); err != nil {
		t.Fatal(err)
	}
	eve.refused("hers", "peer: hint: ", "may not write")

	owner := r.beginAs(c.ownerAt(guest), "owner")
	owner.push("from-outside")
	r.awaitLeader(c.nodes[2])
	if err := c.nodes[2].kill(); err != nil {
		t.Fatal(err)
	}
	owner.push("from-outside")
	if err := owner.wantAt("the guest", eve.p, 0); err != nil {
		t.Error(err)
	}
	if err := c.nodes[2].start(); err != nil {
		t.Fatal(err)
	}
	wantNoBranch(t, r.converge(), "hers")
	owner.wantEverywhere()
}
