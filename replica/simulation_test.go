package replica_test

import (
	"flag"
	"fmt"
	"testing"
	"testing/cryptotest"
	"time"

	"peer/replica/replicatest"
)

var (
	seeds = flag.Int("seeds", 100, "how many seeds TestSimulation runs")
	seed  = flag.Uint64("seed", 1, "the first seed of TestSimulation")
)

const (
	historyPatience = 20 * time.Second
	tailLines       = 60
)

// simulate runs one seed. Raft draws election timeouts from crypto/rand, so
// that is seeded too.
func simulate(t *testing.T, seed uint64) (*replicatest.Sim, error) {
	cryptotest.SetGlobalRandom(t, seed)
	s := replicatest.New(seed, replicatest.DrawFaults(seed))
	return s, s.Run()
}

func replayHint(seed uint64) string {
	return fmt.Sprintf("replay: go test ./replica -run 'TestSimulation$' -seeds 1 -seed %d", seed)
}

// TestSimulation runs groups through storms, seed after seed.
func TestSimulation(t *testing.T) {
	type run struct {
		seed uint64
		sim  *replicatest.Sim
	}
	// What the clients saw is checked beside the next runs.
	runs, bad := make(chan run, 16), make(chan error, *seeds)
	go func() {
		defer close(bad)
		for r := range runs {
			if err := r.sim.CheckHistory(historyPatience); err != nil {
				bad <- fmt.Errorf("seed %d: %w\n%s", r.seed, err, replayHint(r.seed))
			}
		}
	}()
	var total replicatest.Stats
	for n := *seed; n < *seed+uint64(*seeds); n++ {
		ok := t.Run(fmt.Sprint(n), func(t *testing.T) {
			s, err := simulate(t, n)
			if err != nil {
				t.Fatalf("%v\n%s\n%s", err, s.Tail(tailLines), replayHint(n))
			}
			total.Add(s.Stats())
			runs <- run{n, s}
		})
		if !ok {
			break
		}
	}
	close(runs)
	for err := range bad {
		t.Error(err)
	}
	t.Logf("%+v", total)
	if *seeds >= 50 && (total.Snapshots == 0 || total.Collects == 0 || total.Pruned == 0 || total.Missing == 0) {
		t.Error("nothing was pruned, or nobody had to do without")
	}
	m := total.Members
	for what, count := range map[string]int{
		"newcomers": m.Joined, "joint configurations": m.Joint, "dropped learners": m.Dropped, "leaders that leave": m.HandOvers,
		"changes of the policy": total.Policies, "revoked keys": total.Revoked, "protected refs that move forward": total.Forwarded, "or not": total.Forced,
		"turns saved in part": total.Torn, "receipts": total.Receipts, "pushes without one": total.NoReceipts,
		"lost disks": m.Wiped, "leavers": m.GaveUp, "strangers": m.Strangers, "groups of one": m.Sizes[1], "of three": m.Sizes[3], "of five": m.Sizes[5],
	} {
		if *seeds >= 50 && count == 0 {
			t.Errorf("the runs saw no %s", what)
		}
	}
}

// TestSimulationReplays runs seeds twice: a seed that failed once must fail again.
func TestSimulationReplays(t *testing.T) {
	for n := *seed; n < *seed+5; n++ {
		var lines, hash [2]uint64
		for i := range lines {
			t.Run(fmt.Sprintf("%d/%d", n, i), func(t *testing.T) {
				s, err := simulate(t, n)
				if err != nil {
					t.Fatal(err)
				}
				hash[i], lines[i] = s.Fingerprint()
			})
		}
		if hash[0] != hash[1] || lines[0] != lines[1] {
			t.Errorf("seed %d: %d events with hash %x, then %d with %x", n, lines[0], hash[0], lines[1], hash[1])
		}
	}
}

// TestSimulationRot damages the table of one replica of each group, as a disk
// might, so that it still looks whole: it must notice by the next entry and
// leave, whether it leads or follows, and the others must not catch it.
func TestSimulationRot(t *testing.T) {
	var total replicatest.Stats
	for n := *seed; n < *seed+uint64(*seeds)/2; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, n)
			f := replicatest.DrawFaults(n)
			// A table that is asked for as a whole is checked elsewhere; and those who
			// stay must be a majority.
			f.Members, f.Rot, f.Destroy, f.Keep, f.Grace, f.Spares = 3+2*int(n%2), 1, 0, 1000, time.Hour, 0
			s := replicatest.New(n, f)
			if err := s.Run(); err != nil {
				t.Fatalf("%v\n%s\nseed %d", err, s.Tail(tailLines), n)
			}
			total.Add(s.Stats())
		})
	}
	if total.Rotten == 0 || total.Left < total.Rotten*9/10 {
		t.Errorf("%d tables rotted, %d members left", total.Rotten, total.Left)
	}
	t.Logf("%+v", total)
}
