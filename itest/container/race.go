package container

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anishathalye/porcupine"

	"peer/itest/internal/people"
	"peer/itest/internal/register"
)

// race is a number of clients that share nothing and compare-and-swap the same few
// refs. Each ref must look like one register in one place.
type race struct {
	r      *repo
	refs   int // that they race for
	ledger *register.Ledger
	racers []*racer
	epoch  atomic.Int64 // an epoch has refs of its own, so that the checker's work stays small

	mu     sync.Mutex
	acks   int
	last   time.Duration // when the last push was acknowledged
	gap    time.Duration // the longest time without one
	broken error         // what no client may see
}

const (
	raceRefs        = 3
	raceTouchesMax  = 120 // of one ref in an epoch
	raceUnknownsMax = 6
	raceCheck       = 2 * time.Minute
	emptyTree       = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
)

func newRace(r *repo) *race { return &race{r: r, refs: raceRefs, ledger: register.NewLedger()} }

// Exit codes of commands whose machine goes down: under them, or before they began.
const (
	killedCode   = 137
	neverRanCode = 126
)

// racer is one client.
type racer struct {
	race  *race
	id    int
	name  string
	p     *people.Person
	dir   string
	seen  map[string]string // what it believes
	made  int
	where []*people.Person // where it reads, now and then
}

// join makes somebody a client, with a repository of their own. They read as one
// of where.
func (c *race) join(id int, p *people.Person, where ...*people.Person) *racer {
	c.r.c.t.Helper()
	a := &racer{race: c, id: id, name: fmt.Sprintf("client%d", id), p: p, dir: fmt.Sprintf("race-%s-%d", c.r.name, id), seen: map[string]string{}, where: append(where, p)}
	p.Env = append(append([]string{}, p.Env...), "PEER_PUSH_TIMEOUT=5")
	p.Git("", "init", "-q", "--bare", a.dir)
	p.Must(p.RunInput([]byte{}, a.dir, "git", "hash-object", "-t", "tree", "-w", "--stdin"))
	c.racers = append(c.racers, a)
	return a
}

// run races until ctx ends.
func (a *racer) run(ctx context.Context) {
	for ctx.Err() == nil {
		epoch := a.race.epoch.Load()
		ref := fmt.Sprintf("refs/heads/e%d/r%d", epoch, rand.IntN(a.race.refs))
		if _, known := a.seen[ref]; !known || rand.IntN(4) == 0 {
			a.read(epoch)
		} else {
			a.swap(epoch, ref)
		}
		// A machine that is down refuses at once: don't spin.
		if a.where[0].TryGit("", "version").Code != 0 {
			time.Sleep(200 * time.Millisecond)
		}
	}
}

// read lists somewhere, and takes over what it sees.
func (a *racer) read(epoch int64) {
	p := a.where[rand.IntN(len(a.where))]
	called := a.race.ledger.Now()
	listed := p.TryGit("", "ls-remote", a.race.r.url)
	if listed.Code != 0 || listed.Stale() {
		return
	}
	a.race.note(a.id, a.name, epoch, listed.Out, called, a.seen)
}

// note writes a listing down as a read of each ref of an epoch.
func (c *race) note(client int, by string, epoch int64, listing string, called int64, seen map[string]string) {
	listed := map[string]string{}
	for line := range strings.Lines(listing) {
		oid, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		listed[name] = oid
	}
	for i := range c.refs {
		ref := fmt.Sprintf("refs/heads/e%d/r%d", epoch, i)
		c.add(client, epoch, ref, register.Touch{Kind: register.Read, By: by}, called, register.Answer{Verdict: register.OK, Value: listed[ref]})
		if seen != nil {
			seen[ref] = listed[ref]
		}
	}
}

// swap pushes a commit that nobody else has, if the ref is where it was seen.
func (a *racer) swap(epoch int64, ref string) {
	a.made++
	made := a.p.TryGit(a.dir, "commit-tree", "-m", fmt.Sprintf("%s, %d", a.name, a.made), emptyTree)
	if made.Code != 0 { // the machine is down
		return
	}
	next := strings.TrimSpace(made.Out)
	in := register.Touch{Kind: register.Swap, Old: a.seen[ref], New: next, By: a.name}
	called := a.race.ledger.Now()
	pushed := a.p.TryGit(a.dir, "push", "--porcelain", "--force-with-lease="+ref+":"+in.Old, a.race.r.url, next+":"+ref)
	answers, err := register.ReadPorcelain(pushed, []string{ref})
	if err != nil {
		if pushed.Code != killedCode && pushed.Code != neverRanCode {
			a.race.fail(fmt.Errorf("%s: %w", a.name, err))
		}
		answers[0] = register.Answer{Verdict: register.Unknown, Value: "the machine died"}
	}
	a.race.add(a.id, epoch, ref, in, called, answers[0])
	delete(a.seen, ref)
	if answers[0].Verdict == register.OK {
		a.seen[ref] = next
		a.race.acknowledged()
	}
}

// add notes a touch, and begins a new epoch where the checker would have too much
// to look at.
func (c *race) add(client int, epoch int64, ref string, in register.Touch, called int64, out register.Answer) {
	n := c.ledger.Add(client, ref, in, called, out)
	if n > raceTouchesMax || out.Verdict == register.Unknown && c.ledger.Unknowns(ref) > raceUnknownsMax {
		c.epoch.CompareAndSwap(epoch, epoch+1)
	}
}

func (c *race) acknowledged() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Since(c.ledger.Begin)
	c.acks, c.gap, c.last = c.acks+1, max(c.gap, now-c.last), now
}

func (c *race) acknowledgements() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acks
}

func (c *race) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = errors.Join(c.broken, err)
}

// summary says how it went so far.
func (c *race) summary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("%d pushes acknowledged in %v, longest time without one %v", c.acks, time.Since(c.ledger.Begin).Round(time.Second), c.gap.Round(time.Millisecond))
}

// judge lists all refs at every node once more, when all is mended and all clients
// have ended, and has every ref's history checked.
func (c *race) judge() {
	t := c.r.c.t
	t.Helper()
	for _, n := range c.r.c.up() {
		called := c.ledger.Now()
		listed := n.user.Git("", "ls-remote", c.r.url)
		for epoch := range c.epoch.Load() + 1 {
			c.note(-1, n.name+", in the end,", epoch, listed, called, nil)
		}
	}
	t.Logf("%s; answers, and reads of a ref: %v", c.summary(), c.ledger.Counts)
	if c.broken != nil {
		t.Error(c.broken)
	}
	if c.acks < 10 {
		t.Errorf("%d pushes were acknowledged: this tests nothing", c.acks)
	}
	for _, ref := range slices.Sorted(maps.Keys(c.ledger.Refs)) {
		verdict, info := porcupine.CheckOperationsVerbose(register.Model, c.ledger.Refs[ref], raceCheck)
		if verdict != porcupine.Ok {
			path := filepath.Join(t.ArtifactDir(), strings.ReplaceAll(ref, "/", "-")+".html")
			_ = porcupine.VisualizePath(register.Model, info, path)
			t.Errorf("%s: the history is %s; see %s\n%s", ref, verdict, path, c.ledger.Print(ref))
		}
	}
	t.Logf("%d refs, each linearizable unless said", len(c.ledger.Refs))
}
