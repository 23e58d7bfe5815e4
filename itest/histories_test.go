package itest

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"peer/itest/internal/register"
)

var (
	acknowledgedFlag = flag.Int("acknowledged", 0, "how many acknowledged pushes end TestHistories; 0: 1,000, or what 20 s bring with -short")
	historyForFlag   = flag.Duration("history-for", 0, "how long TestHistories goes on at most; 0: 2 hours, or 20 s with -short")
)

const (
	historyClients = 8
	historyReaders = 3
	// An epoch has refs of its own, so that what the checker looks at stays small.
	epochRefs        = 12
	epochTouchesMax  = 150 // of one ref
	epochUnknownsMax = 6
	// historyPatience is that of half of the clients; the others have a minute.
	historyPatience = 3 * time.Second
	checkTimeout    = 2 * time.Minute
	// historyDiskBytes is far more than a run writes: memory that nobody uses.
	historyDiskBytes = 8 << 30
)

// TestHistories has clients that share nothing push compare-and-swap updates of a
// few refs through git, and readers list them everywhere, while nodes die, stop,
// lose their connections and their disks' room. Every ref must look like one
// register in one place; what is listed in the end is on every disk.
func TestHistories(t *testing.T) {
	t.Parallel()
	seed, goal := historySeed(t)
	newHistories(t, seed).play(goal)
}

// historySeed is that of the faults, and how many acknowledgements end the run; 0:
// the time does.
func historySeed(t *testing.T) (seed uint64, goal int) {
	seed, goal = *seedFlag, *acknowledgedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	if goal == 0 && !testing.Short() {
		goal = 1000
	}
	t.Logf("replay the faults with: go test -run '%s$' -seed %d -acknowledged %d", t.Name(), seed, goal)
	return seed, goal
}

// play has everybody at work until goal pushes are acknowledged, or the time is
// up, and judges.
func (h *histories) play(goal int) {
	long := *historyForFlag
	if long == 0 {
		if long = 2 * time.Hour; goal == 0 {
			long = 20 * time.Second
		}
	}
	ctx, cancel := context.WithTimeout(h.t.Context(), long)
	defer cancel()
	h.goal, h.stop = goal, cancel
	h.nemesis.begin, h.ledger.Begin = time.Now(), time.Now()
	var work sync.WaitGroup
	for _, c := range h.clients {
		work.Go(func() { c.run(ctx) })
	}
	for _, r := range h.readers {
		work.Go(func() { r.run(ctx) })
	}
	if err := h.nemesis.run(ctx); err != nil {
		h.fail("nemesis: %v", err)
	}
	work.Wait()
	h.judge()
}

// histories is what all take part in.
type histories struct {
	t       *testing.T
	c       *cluster
	r       *repository
	seed    uint64
	nemesis *nemesis
	clients []*swapper
	readers []*lister
	ledger  *register.Ledger
	goal    int
	stop    context.CancelFunc
	epoch   atomic.Int64

	mu    sync.Mutex
	acks  []time.Duration // when pushes were acknowledged
	took  []time.Duration // how long they took
	stale int             // listings that were marked as such
	dead  int             // listings that failed
	why   map[string]int  // reasons of refusals
}

// newHistories is a group of three that stays what it is.
func newHistories(t *testing.T, seed uint64) *histories {
	board, err := newSwitchboard(t, 3)
	if err != nil {
		t.Logf("no connection is cut: %v", err)
	}
	disks, o := map[int]*smallDisk{}, options{board: board, env: []string{fmt.Sprintf("PEER_LOG_KEEP=%d", logKeep)}}
	if small := int(seed % 3); board != nil { // root is what both need
		disks[small] = newSmallDisk(t)
		if err := disks[small].resize(historyDiskBytes); err != nil {
			t.Fatal(err)
		}
		o.home = func(i int) string {
			if i == small {
				return filepath.Join(disks[small].dir, "home")
			}
			return ""
		}
	}
	h := historiesOn(newCluster(t, o), t, seed)
	h.nemesis.disks = disks
	return h
}

// historiesOn is a repository in a network, and those who will use it and break it.
func historiesOn(c *cluster, t *testing.T, seed uint64) *histories {
	h := &histories{t: t, c: c, seed: seed, ledger: register.NewLedger(), why: map[string]int{}}
	h.r = h.c.create("demo")
	h.nemesis = &nemesis{c: h.c, r: h.r, random: rand.New(rand.NewPCG(seed, 1)), board: c.board, count: map[string]int{}, calm: 5 * time.Second}
	if testing.Short() {
		h.nemesis.calm = 1500 * time.Millisecond
	}
	for i := range historyClients {
		h.clients = append(h.clients, h.newSwapper(i))
	}
	h.newReaders()
	return h
}

func (h *histories) fail(format string, args ...any) {
	h.t.Errorf(format, args...)
	h.stop()
}

// refsOf are the refs of an epoch that are swapped one by one, and the pair that
// moves together.
func refsOf(epoch int64) (single []string, pair [2]string) {
	for i := range epochRefs {
		single = append(single, fmt.Sprintf("refs/heads/e%d/r%d", epoch, i))
	}
	return single, [2]string{fmt.Sprintf("refs/heads/e%d/left", epoch), fmt.Sprintf("refs/heads/e%d/right", epoch)}
}

// record notes a touch, and begins a new epoch where the checker would have too
// much to look at.
func (h *histories) record(client int, epoch int64, ref string, in register.Touch, called int64, out register.Answer) {
	touches := h.ledger.Add(client, ref, in, called, out)
	if touches > epochTouchesMax || out.Verdict == register.Unknown && h.ledger.Unknowns(ref) > epochUnknownsMax {
		h.epoch.CompareAndSwap(epoch, epoch+1)
	}
}

// acknowledged counts pushes, and ends the run with the last one.
func (h *histories) acknowledged(took time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acks, h.took = append(h.acks, time.Since(h.ledger.Begin)), append(h.took, took)
	if len(h.acks)%1000 == 0 {
		h.t.Logf("%d after %v", len(h.acks), h.acks[len(h.acks)-1].Round(time.Second))
	}
	if len(h.acks) == h.goal {
		h.stop()
	}
}

// judge reads all refs everywhere once more, and has every ref's history checked.
func (h *histories) judge() {
	h.t.Helper()
	defer func() {
		if h.t.Failed() {
			h.t.Logf("seed %d; what was done:", h.seed)
			h.nemesis.log(h.t, 0, time.Hour)
		}
	}()
	if h.nemesis.members != nil {
		h.nemesis.settleMembers(h.t)
	}
	h.r.converge()
	h.r.checkDisks()
	for i := range h.c.nodes {
		called := h.ledger.Now()
		listed := parseListing(h.c.at(i).Git("", "ls-remote", h.r.url))
		for epoch := range h.epoch.Load() + 1 {
			h.note(-1, fmt.Sprintf("%s, in the end,", h.c.nodes[i].name), epoch, listed, called)
		}
	}
	h.report()
	worst := time.Duration(0)
	for _, ref := range slices.Sorted(maps.Keys(h.ledger.Refs)) {
		begin := time.Now()
		verdict, info := porcupine.CheckOperationsVerbose(register.Model, h.ledger.Refs[ref], checkTimeout)
		worst = max(worst, time.Since(begin))
		if verdict != porcupine.Ok {
			path := filepath.Join(h.c.logs, strings.ReplaceAll(ref, "/", "-")+".html")
			_ = porcupine.VisualizePath(register.Model, info, path)
			h.t.Errorf("%s: the history is %s; see %s\n%s", ref, verdict, path, h.ledger.Print(ref))
		}
	}
	h.t.Logf("%d refs, each linearizable unless said; the longest check took %v", len(h.ledger.Refs), worst.Round(time.Millisecond))
}

// report says what was tested, and fails if that is next to nothing.
func (h *histories) report() {
	h.t.Helper()
	if len(h.acks) < 10 {
		h.t.Errorf("%d pushes were acknowledged: this tests nothing", len(h.acks))
		return
	}
	slices.Sort(h.took)
	longest, from := h.acks[0], time.Duration(0)
	for i := 1; i < len(h.acks); i++ {
		if gap := h.acks[i] - h.acks[i-1]; gap > longest {
			longest, from = gap, h.acks[i-1]
		}
	}
	h.t.Logf("%d pushes acknowledged in %v, p50 %v, p95 %v, longest %v", len(h.acks), h.acks[len(h.acks)-1].Round(time.Second),
		h.took[len(h.took)/2], h.took[len(h.took)*95/100], h.took[len(h.took)-1])
	h.t.Logf("answers per ref, and reads of a ref: %v; listings marked stale: %d, failed: %d", h.ledger.Counts, h.stale, h.dead)
	h.t.Logf("refused: %v", h.why)
	h.t.Logf("faults: %v", h.nemesis.count)
	h.t.Logf("the longest time without an acknowledgement is %v, from %v on; meanwhile:", longest.Round(time.Millisecond), from.Round(time.Millisecond))
	h.nemesis.log(h.t, from-6*time.Second, from+longest)
}
