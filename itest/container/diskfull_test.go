package container

import (
	"fmt"
	"strings"
	"testing"

	"peer/itest/internal/await"
	"peer/itest/internal/content"
)

// Sizes of the disk that gets full. A node that has less than 256 MiB takes no
// packs, and one with less than 128 MiB stops.
const (
	smallDisk = 512 << 20
	noRoom    = 192 << 20
)

// The leader's disk gets full, first so that it should take no packs, and then to
// the last byte. Another one leads; pushes, large ones too, go on with two of
// three; the node stops rather than go on without its disk; and when somebody has
// made room and starts it, it catches up and leads again.
//
//	owner ── node1 ─── node2
//	            └─ node3 ─┘   led; its disk is full
func TestDiskFull(t *testing.T) {
	t.Parallel()
	full := 2
	c := newCluster(t, options{disk: map[int]int64{full: smallDisk}})
	r := c.create("demo", nil)
	ann := r.begin()
	ann.push("main")
	n := c.nodes[full]
	r.awaitLeader(n)

	if err := n.disk.fill(noRoom); err != nil {
		t.Fatal(err)
	}
	await.Eventually(t, convergeTimeout, func() error {
		leader, err := r.leaderAt(c.nodes[0])
		if err == nil && (leader == nil || leader == n) {
			err = fmt.Errorf("%s leads without room", n.name)
		}
		return err
	})
	ann.push("main")
	ann.pushCommit("large", ann.commit("large.bin", content.Random(8, 3<<20)))

	if err := n.disk.fill(0); err != nil {
		t.Fatal(err)
	}
	ann.push("main")
	ann.pushCommit("larger", ann.commit("larger.bin", content.Random(9, 3<<20)))
	for _, other := range c.nodes[:full] {
		if err := ann.wantAt(other.name, other.user, 0); err != nil {
			t.Error(err)
		}
	}

	if code, err := n.wait(); err != nil || code == 0 {
		t.Fatalf("%s ended with code %d: %v", n.name, code, err)
	}
	for _, want := range []string{"peer: error: ", "free some and start again"} {
		if said := n.log(); !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, tail(said))
		}
	}
	if err := n.disk.free(); err != nil {
		t.Fatal(err)
	}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
	r.converge()
	ann.wantEverywhere()
	r.awaitLeader(n)
}
