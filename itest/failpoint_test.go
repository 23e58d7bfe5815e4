package itest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/binary"
	"peer/itest/internal/content"
)

// Roles of the node that dies, in a cluster of three. The pusher's own node is
// node 0: a helper that loses it reaches the others by itself.
const (
	ownNode  = 0
	follower = 1
	leader   = 2
)

var roleNames = []string{"own node", "follower", "leader"}

// persistPoint is a moment at which a crash leaves the disk in a state of its own.
type persistPoint struct {
	name  string
	nth   int   // which time counts: beyond those of starting and of an election
	roles []int // who gets there
	// provoke does what brings a node there.
	provoke func(*pointTest)
}

var persistPoints = []persistPoint{
	{"save-before", 8, []int{ownNode, follower, leader}, (*pointTest).pushSmall},
	{"save-after", 8, []int{ownNode, follower, leader}, (*pointTest).pushSmall},
	{"indexed", 1, []int{leader}, (*pointTest).pushBoth},
	{"staged", 1, []int{ownNode, follower, leader}, (*pointTest).pushLarge},
	{"stage-recorded", 1, []int{ownNode, follower, leader}, (*pointTest).pushLarge},
	{"replicated", 1, []int{leader}, (*pointTest).pushLarge},
	{"proposed", 1, []int{leader}, (*pointTest).pushBoth},
	{"publish-before", 3, []int{ownNode, follower, leader}, (*pointTest).pushBoth},
	{"publish-installed", 3, []int{ownNode, follower, leader}, (*pointTest).pushBoth},
	{"publish-refs", 3, []int{ownNode, follower, leader}, (*pointTest).pushBoth},
	{"seat", 1, []int{ownNode, follower}, (*pointTest).found},
	{"founded", 1, []int{ownNode, follower}, (*pointTest).found},
	{"snapshot-objects", 1, []int{ownNode, follower}, (*pointTest).lag},
	{"gathered", 1, []int{ownNode, follower, leader}, (*pointTest).dropBranch},
}

const (
	smallBytes = 100     // rides in the entry
	largeBytes = 2 << 20 // is staged
	// pushesMax is how many pushes may pass before the point must have been reached.
	pushesMax = 15
	// logKeep is small, so that a member that lags gets a snapshot.
	logKeep = 24
)

// TestKillAtPersistPoints kills a node at every persist point, in every role that
// gets there. What was acknowledged stays, a push that failed can be repeated, no
// atomic push is there by half, and the node comes back by itself.
func TestKillAtPersistPoints(t *testing.T) {
	t.Parallel()
	comparePointsWithSource(t)
	c := newCluster(t, options{env: []string{fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep)}})
	r := c.create("demo")
	p := &pointTest{c: c, r: r, ann: c.at(0)}
	p.ann.Git("", "init", "-q", "work")
	p.ann.Git("work", "remote", "add", "origin", r.url)
	p.push(smallBytes)
	for _, point := range persistPoints {
		for _, role := range point.roles {
			if testing.Short() && role != point.roles[len(point.roles)-1] {
				continue
			}
			if !c.run(t, point.name+"/"+roleNames[role], func(*testing.T) { p.test(point, role) }) {
				return
			}
		}
	}
}

// comparePointsWithSource makes sure that no point is forgotten, here or in
// ARCHITECTURE.md.
func comparePointsWithSource(t *testing.T) {
	t.Helper()
	var have []string
	for _, p := range persistPoints {
		have = append(have, p.name)
	}
	slices.Sort(have)
	for _, list := range []struct{ file, from, pattern string }{
		{"node/failpoints.go", "const (", `(?m)^\tfail\w+\s+= "([a-z-]+)"`},
		{"ARCHITECTURE.md", "## Persist points", `(?m)^\| ([a-z-]*[a-z][a-z-]*) \|`},
	} {
		raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), filepath.FromSlash(list.file)))
		if err != nil {
			t.Fatal(err)
		}
		_, text, _ := strings.Cut(string(raw), list.from)
		text, _, _ = strings.Cut(text, "\n## ")
		var want []string
		for _, match := range regexp.MustCompile(list.pattern).FindAllStringSubmatch(text, -1) {
			if match[1] != "point" { // the table's head
				want = append(want, match[1])
			}
		}
		slices.Sort(want)
		if !slices.Equal(want, have) {
			t.Fatalf("%s has the persist points %v, this test %v", list.file, want, have)
		}
	}
}

type pointTest struct {
	c   *cluster
	r   *repository
	ann *person

	victim *node
	role   int
	arm    string // PEER_FAIL_AT
	count  int
	tip    string // of the last acknowledged push
}

func (p *pointTest) test(point persistPoint, role int) {
	p.c.t.Helper()
	p.victim, p.role, p.arm = p.c.nodes[role], role, fmt.Sprintf("PEER_FAIL_AT=%s:%d", point.name, point.nth)
	point.provoke(p)
	p.recover()
}

// restartArmed restarts the victim so that it will die, and waits until it has its role.
func (p *pointTest) restartArmed() {
	p.c.t.Helper()
	p.ok(p.victim.restart(p.arm))
	p.r.awaitLeader(leader)
	if err := await.Poll(convergeTimeout, p.r.inSync); err != nil {
		p.c.t.Fatal(err)
	}
}

func (p *pointTest) ok(err error) {
	p.c.t.Helper()
	if err != nil {
		p.c.t.Fatal(err)
	}
}

// recover restarts the victim without the hook: it catches up, and nothing else
// needs to be done by anybody.
func (p *pointTest) recover() {
	p.c.t.Helper()
	p.ok(p.victim.restart())
	p.check()
	p.push(smallBytes)
	p.check()
}

// check looks at all replicas once they agree.
func (p *pointTest) check() {
	p.c.t.Helper()
	refs := p.r.converge()
	for _, name := range []string{"main", "twin"} { // one atomic push moves both
		if !strings.Contains(refs, "refs/heads/"+name+" "+p.tip+"\n") {
			p.c.t.Fatalf("%s is not at %s, which was acknowledged:\n%s", name, p.tip, refs)
		}
	}
	p.r.checkDisks()
}

func (p *pointTest) pushSmall() { p.restartArmed(); p.pushUntilDeath(smallBytes) }
func (p *pointTest) pushLarge() { p.restartArmed(); p.pushUntilDeath(largeBytes) }

// pushBoth pushes both kinds where the node leads, and one of them elsewhere.
func (p *pointTest) pushBoth() {
	switch p.role {
	case ownNode:
		p.pushSmall()
		return
	case follower:
		p.pushLarge()
		return
	}
	p.pushSmall()
	p.recover()
	p.pushLarge()
}

// pushUntilDeath pushes until the victim has reached its point.
func (p *pointTest) pushUntilDeath(size int) {
	p.c.t.Helper()
	for i := range pushesMax {
		begin := time.Now()
		p.push(size)
		took := time.Since(begin)
		// A follower gets there after the acknowledgement.
		if p.victim.awaitEnd(300*time.Millisecond) == nil {
			p.awaitDeath()
			p.c.t.Logf("died at push %d of %d bytes, which was acknowledged after %v", i+1, size, took.Round(time.Millisecond))
			return
		}
	}
	p.c.t.Fatalf("%s did not get to %s in %d pushes", p.victim.name, p.arm, pushesMax)
}

// awaitDeath wants the victim to have died by the hook, and nothing else.
func (p *pointTest) awaitDeath() {
	p.c.t.Helper()
	p.ok(p.victim.awaitEnd(30 * time.Second))
	if !p.victim.killed() {
		p.c.t.Fatalf("%s did not die by the hook: %v", p.victim.name, p.victim.proc.err)
	}
}

// push commits size bytes and moves two branches to them, atomically. If it
// fails, it must succeed when it is repeated.
func (p *pointTest) push(size int) {
	p.c.t.Helper()
	p.count++
	tip := p.ann.Commit("work", fmt.Sprintf("%d.bin", p.count), content.Random(uint64(p.count), size))
	args := []string{"push", "-q", "--atomic", "origin", "HEAD:refs/heads/main", "HEAD:refs/heads/twin"}
	if r := p.ann.TryGit("work", args...); r.Code != 0 {
		p.c.t.Logf("repeating it: %v", r)
		p.ann.Git("work", args...)
	}
	p.tip = tip
}

// found has the victim die while a repository is founded.
func (p *pointTest) found() {
	p.c.t.Helper()
	p.restartArmed()
	name := "founded-" + strings.ReplaceAll(p.arm[len("PEER_FAIL_AT="):], ":", "-") + "-" + p.victim.name
	made := p.ann.TryPeer("init", name, "--json")
	p.awaitDeath()
	p.ok(p.victim.restart())
	if made.Code != 0 {
		if !strings.Contains(made.Err, "peer: error:") {
			p.c.t.Fatalf("no clear error: %v", made)
		}
		again := p.ann.TryPeer("init", name, "--json")
		if again.Code != 0 && !strings.Contains(again.Err, "already") {
			p.c.t.Fatalf("neither founded nor to be founded: %v\nthen %v", made, again)
		}
	}
	r := &repository{c: p.c, name: name, url: strings.TrimSuffix(p.r.url, p.r.name) + name}
	p.ann.Git("work", "push", "-q", r.url, "HEAD:refs/heads/main")
	r.converge()
	r.checkDisks()
}

// lag has the victim die while it takes a snapshot.
func (p *pointTest) lag() {
	p.c.t.Helper()
	p.ok(p.victim.kill())
	p.r.awaitLeader(leader)
	for range 2 * logKeep {
		p.push(smallBytes)
	}
	p.ok(p.victim.start(p.arm))
	p.awaitDeath()
}

// dropBranch has the victim die while it removes the objects of a deleted branch.
func (p *pointTest) dropBranch() {
	p.c.t.Helper()
	soon := []string{"PEER_GC_GRACE=1ms", "PEER_MAINTAIN_EVERY=100ms"}
	for _, n := range p.c.nodes {
		env := soon
		if n == p.victim {
			env = append([]string{p.arm}, soon...)
		}
		// What earlier pushes left behind may bring the victim there at once.
		if err := n.restart(env...); err != nil && (n != p.victim || n.runs()) {
			p.c.t.Fatal(err)
		}
	}
	if err := await.Poll(convergeTimeout, func() error {
		if !p.victim.runs() {
			return nil
		}
		return p.r.inSync()
	}); err != nil {
		p.c.t.Fatal(err)
	}
	p.ann.Git("work", "checkout", "-q", "--detach")
	p.ann.Commit("work", "dropped.bin", content.Random(uint64(p.count), largeBytes))
	p.ann.Git("work", "push", "-q", "origin", "HEAD:refs/heads/dropped-"+p.victim.name)
	p.ann.Git("work", "push", "-q", "origin", ":refs/heads/dropped-"+p.victim.name)
	p.ann.Git("work", "checkout", "-q", "-")
	p.awaitDeath()
	for _, n := range p.c.nodes {
		if n != p.victim {
			p.ok(n.restart())
		}
	}
}
