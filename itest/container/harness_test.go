package container

import (
	"fmt"
	"testing"
	"time"

	"peer/itest/internal/people"
)

// The faults themselves: each does what it says, and its end undoes it.
//
//	node1 ─── node2
func TestFaults(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 2, disk: map[int]int64{1: 256 << 20}})
	a, b := c.nodes[0], c.nodes[1]
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	wantReach := func(when string, from, to *node, want bool) {
		t.Helper()
		if took, got := from.reaches(to); got != want {
			t.Fatalf("%s: %s reaches %s: %v, after %v", when, from.name, to.name, got, took)
		}
	}
	wantReach("at first", a, b, true)

	check("partition", c.partition(c.nodes[:1], c.nodes[1:]))
	wantReach("cut off", a, b, false)
	check("heal", c.heal())
	wantReach("healed", a, b, true)

	check("one-way cut", c.cutOneWay(a.machine, b.machine))
	if a.knocks(b) {
		t.Errorf("what is cut arrives")
	}
	if !b.knocks(a) {
		t.Errorf("the other way is cut as well")
	}
	check("heal", c.heal())

	check("pause", b.pause())
	wantReach("paused", a, b, false)
	check("unpause", b.unpause())
	wantReach("unpaused", a, b, true)

	check("power loss", c.powerLoss(b))
	wantReach("without power", a, b, false)
	check("start", b.start())
	wantReach("with power again", a, b, true)

	check("fill", b.disk.fill(8<<10))
	if r := b.user.Run("", "dd", "if=/dev/zero", "of="+homeDir+"/probe", "bs=64k", "count=1"); r.Code == 0 {
		t.Errorf("a full disk takes 64 KiB: %v", r)
	}
	check("free", b.disk.free())
	if r := b.user.Run("", "dd", "if=/dev/zero", "of="+homeDir+"/probe", "bs=64k", "count=1"); r.Code != 0 {
		t.Errorf("no room after all: %v", r)
	}

	const delay = 100 * time.Millisecond
	needs(t, c.slow(link{delay: delay}))
	if took, reached := a.reaches(b); !reached || took < 4*delay { // the handshake, and a question
		t.Errorf("slow: reached %v, after %v", reached, took)
	}
	check("restart", b.restart())
	if took, reached := a.reaches(b); !reached || took < 4*delay {
		t.Errorf("slow, after a restart: reached %v, after %v", reached, took)
	}
	check("loss of all", c.slow(link{loss: 1}))
	wantReach("all is lost", a, b, false)
	check("no delay", c.slow(link{}))
	wantReach("fast again", a, b, true)
}

// reaches asks the git daemon of another node for what it does not have: any
// answer will do, and three seconds for it.
func (m *machine) reaches(to *node) (time.Duration, bool) {
	begin := time.Now()
	r := m.exec(asPeer, people.Command{Dir: "/tmp", Args: []string{"timeout", "3", "git", "ls-remote", fmt.Sprintf("git://%s:%d/no/body", to.ip, gitPort)}})
	return time.Since(begin), r.Code != 124
}

// knocks says whether the first packet of a connection arrives that will not be
// established: the other end waits for the third.
func (m *machine) knocks(to *node) bool {
	ended := make(chan bool)
	go func() {
		m.reaches(to)
		close(ended)
	}()
	half := fmt.Sprintf(`:%04X [0-9A-F]+:[0-9A-F]+ 03 `, gitPort)
	for {
		if r := to.exec(asPeer, people.Command{Args: []string{"grep", "-qE", half, "/proc/net/tcp", "/proc/net/tcp6"}}); r.Code == 0 {
			<-ended
			return true
		}
		select {
		case <-ended:
			return false
		default:
		}
	}
}
