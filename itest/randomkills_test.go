package itest

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "seed of TestRandomKills and TestHistories; 0 draws one")
	killsFlag = flag.Int("kills", 0, "how many kills TestRandomKills makes; 0: 200, or 20 with -short")
)

// TestRandomKills has two people push, and a third one read, while nodes are
// killed and restarted at random moments. At every moment a reader sees all that
// was acknowledged before it asked, and both refs of an atomic push or none; in
// the end all replicas are the same.
func TestRandomKills(t *testing.T) {
	seed, kills := *seedFlag, *killsFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	if kills == 0 {
		if kills = 200; testing.Short() {
			kills = 20
		}
	}
	t.Logf("replay with: go test -run TestRandomKills -seed %d -kills %d", seed, kills)
	c := newCluster(t, options{env: []string{fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep)}})
	s := &storm{c: c, r: c.create("demo")}
	owner := c.at(0)
	owner.Git("", "init", "-q", "seed")
	owner.Commit("seed", "a.txt", []byte("1\n"))
	owner.Git("seed", "push", "-q", s.r.url, "HEAD:refs/heads/main")
	s.writers = []*writer{
		s.newWriter("ann", owner, seed+1),
		// The same key without a node: the helper finds the network by itself.
		s.newWriter("ben", c.guest("ben", owner.Home+"/key"), seed+2),
	}
	var work sync.WaitGroup
	for _, w := range s.writers {
		work.Go(w.run)
	}
	work.Go(func() { s.read(rand.New(rand.NewPCG(seed, 3))) })
	s.kill(rand.New(rand.NewPCG(seed, 4)), kills)
	s.over.Store(true)
	work.Wait()
	if pushed, failed := s.judge(); failed*10 > pushed {
		t.Errorf("%d of %d pushes failed, although a majority was soon back each time", failed, pushed+failed)
	}
}

// slowPush is worth a line in the log: a majority was back long before.
const slowPush = 5 * time.Second

// storm is what all take part in.
type storm struct {
	c       *cluster
	r       *repository
	writers []*writer
	over    atomic.Bool // the kills have ended
	broken  atomic.Bool // something is wrong already
	reads   struct{ fine, stale, failed int }
}

// fail tells of a fault from any goroutine.
func (s *storm) fail(format string, args ...any) {
	s.broken.Store(true)
	s.c.t.Errorf(format, args...)
}

func (s *storm) going() bool { return !s.over.Load() && !s.broken.Load() }

// kill kills one node at a random moment, now and then two, and restarts it
// after a random time.
func (s *storm) kill(random *rand.Rand, kills int) {
	for i := 0; i < kills && s.going(); i++ {
		pause(random, 500*time.Millisecond)
		victims := random.Perm(len(s.c.nodes))[:1]
		if random.IntN(10) == 0 {
			victims = random.Perm(len(s.c.nodes))[:2]
		}
		for _, v := range victims {
			if err := s.c.nodes[v].kill(); err != nil {
				s.fail("kill: %v", err)
			}
		}
		pause(random, 300*time.Millisecond)
		for _, v := range victims {
			if err := s.c.nodes[v].restart(); err != nil {
				s.fail("restart: %v", err)
			}
		}
	}
}

// pause makes the moments random: it waits for no condition.
func pause(random *rand.Rand, most time.Duration) {
	time.Sleep(rand.N(most) + time.Duration(random.IntN(1e6)))
}

// writer appends to branches of its own, so that what was acknowledged can be told
// from how far they are.
type writer struct {
	s      *storm
	name   string
	p      *person
	random *rand.Rand
	tree   string
	// commits made so far: the number of the next push.
	commits int

	mu    sync.Mutex
	order map[string]int // number of each commit
	// acked is the highest number acknowledged on each branch.
	acked map[string]int
	// Of the pushes: how many were acknowledged, and how many failed.
	pushed, failed int
	took           []time.Duration
}

func (s *storm) newWriter(name string, p *person, seed uint64) *writer {
	w := &writer{
		s: s, name: name, p: p, random: rand.New(rand.NewPCG(seed, 5)), tree: name,
		order: map[string]int{}, acked: map[string]int{},
	}
	p.Git("", "init", "-q", w.tree)
	p.Git(w.tree, "remote", "add", "origin", s.r.url)
	return w
}

// The branches of a writer: the pair moves together, always.
func (w *writer) solo() string { return "refs/heads/" + w.name + "/solo" }
func (w *writer) pair() [2]string {
	return [2]string{"refs/heads/" + w.name + "/left", "refs/heads/" + w.name + "/right"}
}

func (w *writer) run() {
	for w.s.going() {
		w.commits++
		if err := w.push(w.commits); err != nil {
			w.s.fail("%s: %v", w.name, err)
		}
	}
}

// push makes commit i and pushes it to the solo branch, or to the pair.
func (w *writer) push(i int) error {
	size := smallBytes
	if w.random.IntN(16) == 0 {
		size = 200_000 + w.random.IntN(1_500_000)
	}
	tip, err := w.commit(i, size)
	if err != nil {
		return err
	}
	targets, args := []string{w.solo()}, []string{"push", "-q", "origin", tip + ":" + w.solo()}
	if w.random.IntN(3) == 0 {
		pair := w.pair()
		targets, args = pair[:], []string{"push", "-q", "--atomic", "origin", tip + ":" + pair[0], tip + ":" + pair[1]}
	}
	r := w.p.TryGit(w.tree, args...)
	w.took = append(w.took, r.Took)
	if r.Took > slowPush {
		w.s.c.t.Logf("slow, at %s: %s: %v", time.Now().Format(time.StampMilli), w.name, r)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Code == 0 {
		w.pushed++
		for _, name := range targets {
			w.acked[name] = i
		}
		return nil
	}
	w.failed++
	if !strings.Contains(r.Err, "peer: error:") && !strings.Contains(r.Err, "remote rejected") {
		return fmt.Errorf("no clear error: %v", r)
	}
	w.s.c.t.Logf("%s push %d: %v", w.name, i, r)
	return nil
}

// commit makes a commit without touching the work tree.
func (w *writer) commit(i, size int) (string, error) {
	const ref = "refs/heads/work"
	var stream strings.Builder
	data := content.Random(uint64(i)<<8|uint64(w.name[0]), size)
	fmt.Fprintf(&stream, "commit %s\ncommitter %s <%s@example.org> %d +0000\ndata 3\ni%02d\n", ref, w.name, w.name, 1_700_000_000+i, i%100)
	if i > 1 {
		fmt.Fprintf(&stream, "from %s^0\n", ref)
	}
	fmt.Fprintf(&stream, "M 100644 inline %d.bin\ndata %d\n%s\n", i%50, len(data), data)
	if r := w.p.RunInput([]byte(stream.String()), w.tree, "git", "fast-import", "--quiet", "--force"); r.Code != 0 {
		return "", fmt.Errorf("fast-import: %v", r)
	}
	r := w.p.TryGit(w.tree, "rev-parse", ref)
	if r.Code != 0 {
		return "", fmt.Errorf("rev-parse: %v", r)
	}
	tip := strings.TrimSpace(r.Out)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.order[tip] = i
	return tip, nil
}

// floor is what a listing that begins now must show at least.
func (w *writer) floor() map[string]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	floor := map[string]int{}
	for name, i := range w.acked {
		floor[name] = i
	}
	return floor
}

// compare holds a listing, from name to object ID, against what must be in it.
func (w *writer) compare(listed map[string]string, floor map[string]int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, least := range floor {
		oid := listed[name]
		if at := w.order[oid]; at < least {
			return fmt.Errorf("%s is at commit %d (%s), and %d was acknowledged before", name, at, oid, least)
		}
	}
	if pair := w.pair(); listed[pair[0]] != listed[pair[1]] {
		return fmt.Errorf("half of an atomic push: %s at %s, %s at %s", pair[0], listed[pair[0]], pair[1], listed[pair[1]])
	}
	return nil
}

// read lists and clones from random nodes while all goes on.
func (s *storm) read(random *rand.Rand) {
	for i := 0; s.going(); i++ {
		p := s.c.at(random.IntN(len(s.c.nodes)))
		floors := make([]map[string]int, len(s.writers))
		for j, w := range s.writers {
			floors[j] = w.floor()
		}
		var r people.Result
		var copied string
		if i%10 == 9 {
			copied = fmt.Sprintf("copy%d.git", i)
			if r = p.TryGit("", "clone", "-q", "--mirror", s.r.url, copied); r.Code == 0 {
				said := r.Err
				r = p.TryGit(copied, "fsck", "--connectivity-only")
				if r.Code != 0 {
					s.fail("a clone is not whole: %v", r)
					return
				}
				r = p.TryGit(copied, "for-each-ref", "--format=%(objectname)%09%(refname)")
				r.Err = said
			}
		} else {
			r = p.TryGit("", "ls-remote", s.r.url)
		}
		s.judgeRead(r, floors)
	}
}

func (s *storm) judgeRead(r people.Result, floors []map[string]int) {
	if r.Code != 0 {
		s.reads.failed++
		// Where the node at the other end dies in the middle, git speaks for itself.
		if !strings.Contains(r.Err, "peer: error:") && !strings.Contains(r.Err, "fatal: ") {
			s.fail("a read failed without a clear error: %v", r)
		}
		s.c.t.Logf("read: %v", r)
		return
	}
	stale := r.Stale() // it may be older, never half
	if stale {
		s.reads.stale++
	} else {
		s.reads.fine++
	}
	listed := parseListing(r.Out)
	for i, w := range s.writers {
		if stale {
			floors[i] = nil
		}
		if err := w.compare(listed, floors[i]); err != nil {
			s.fail("a reader sees: %v\n%v", err, r)
		}
	}
}

// parseListing reads "OID<TAB>NAME" lines into a map from name to object ID.
func parseListing(text string) map[string]string {
	listed := map[string]string{}
	for line := range strings.Lines(text) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		listed[name] = oid
	}
	return listed
}

// judge compares the end with what was acknowledged. It returns how many pushes
// there were of each kind.
func (s *storm) judge() (pushed, failed int) {
	s.c.t.Helper()
	var took []time.Duration
	for _, w := range s.writers {
		pushed, failed, took = pushed+w.pushed, failed+w.failed, append(took, w.took...)
	}
	slices.Sort(took)
	if len(took) == 0 {
		s.c.t.Fatal("nobody pushed")
	}
	s.c.t.Logf("%d pushes acknowledged, %d failed, p50 %v, p95 %v, longest %v; reads: %+v", pushed, failed,
		took[len(took)/2], took[len(took)*95/100], took[len(took)-1], s.reads)
	if s.broken.Load() {
		return pushed, failed
	}
	s.r.converge()
	s.r.checkDisks()
	for i, n := range s.c.nodes {
		listed := parseListing(s.c.at(i).Git(s.r.bare(i), "for-each-ref", "--format=%(objectname)%09%(refname)"))
		for _, w := range s.writers {
			if err := w.compare(listed, w.floor()); err != nil {
				s.c.t.Errorf("on the disk of %s: %v", n.name, err)
			}
		}
	}
	return pushed, failed
}
