package container

import (
	"testing"
)

// The leader is alone on its side. The other two elect one of them and go on; the
// old leader refuses pushes, and serves what it has as possibly old. Healed, all
// have what the majority acknowledged.
//
//	owner ── node1 ─── node2  ┊  node3 ── owner, away from home
//	                          ┊  (led)
func TestPartitionOfThree(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	lone := c.nodes[2]
	r.awaitLeader(lone)
	away := r.beginAs(c.ownerAt(lone.machine), "away")

	if err := c.partition(c.nodes[:2], c.nodes[2:]); err != nil {
		t.Fatal(err)
	}
	ann.push("main")
	ann.push("majority")
	away.refused("minority", "peer: error: ", "peer: hint: ")
	wantStale(t, r, lone)
	ann.push("main")

	if err := c.heal(); err != nil {
		t.Fatal(err)
	}
	refs := r.converge()
	if err := ann.wants(refs, "the healed group"); err != nil {
		t.Error(err)
	}
	wantNoBranch(t, refs, "minority")
	away.push("minority")
	ann.wantEverywhere()
	r.converge()
}

// Five nodes fall into three parts, none of which is a majority: nobody takes a
// push. Healed, all do, and nothing that was refused happened.
//
//	owner ── node1 ─── node2  ┊  node3 ─── node4 ── owner  ┊  node5 ── owner
//	                          ┊                            ┊  (led)
func TestPartitionOfFive(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 5})
	r := c.create("demo", nil, "--replicas", "5")
	ann := r.begin()
	ann.push("main")
	r.awaitLeader(c.nodes[4])
	ben, eve := r.beginAs(c.ownerAt(c.nodes[3].machine), "ben"), r.beginAs(c.ownerAt(c.nodes[4].machine), "eve")

	if err := c.partition(c.nodes[:2], c.nodes[2:4], c.nodes[4:]); err != nil {
		t.Fatal(err)
	}
	authors := []*author{ann, ben, eve}
	names := []string{"first", "second", "third"}
	_ = each(authors, func(i int) error { authors[i].refused(names[i], "peer: error: ", "peer: hint: "); return nil })
	wantStale(t, r, c.nodes[0])
	wantStale(t, r, c.nodes[4])

	if err := c.heal(); err != nil {
		t.Fatal(err)
	}
	refs := r.converge()
	for i := range names {
		wantNoBranch(t, refs, names[i])
	}
	for i, a := range authors {
		a.push(names[i])
	}
	for _, a := range authors {
		a.wantEverywhere()
	}
	r.converge()
}
