package replicatest

import (
	"math/rand/v2"
	"time"
)

// Faults says how bad a run is. Probabilities are of one message, one save, or
// one step of the storm.
type Faults struct {
	Members int
	Clients int
	// Storm is how long things break, in virtual time.
	Storm time.Duration

	Drop, Duplicate, Late     float64       // of a message
	CrashBefore, CrashAfter   float64       // of a save
	SlowDisk                  float64       // of a save
	CrashBetween              float64       // of two pieces of a save
	LostReply                 float64       // of a request or its answer
	Every                     time.Duration // mean time between steps of the storm
	Crash, CrashAll, Destroy  float64       // of a step
	Split, OneWay             float64
	Pause, FalseAlarm, Unrest float64
	Contest, Lull, Jump       float64
	Meddle, Absence           float64
	// Spares is how many nodes have no seat at first; without any, members never change.
	Spares int
	// Sluggish is how much longer one member's disk takes.
	Sluggish time.Duration
	// SkewMax is how far apart the members' clocks are.
	SkewMax time.Duration
	// Pieces: what a turn changes is written entry by entry.
	Pieces bool
	// Keep is how many entries a log keeps behind what is published.
	Keep uint64
	// Collect is the mean time between looks for what may be pruned, Grace how long
	// a retired tip stays.
	Collect, Grace time.Duration
	// Hot is how often a client pushes what it listed long ago.
	Hot float64
	// Rot is how many members' tables a disk damages, once; fewer than a majority.
	Rot int
}

// DrawFaults makes up the faults of a run. Runs differ in kind: some have a bad
// network, some bad disks, some both.
func DrawFaults(seed uint64) Faults {
	rng := rand.New(rand.NewPCG(seed, 0xfa17))
	pick := func(of ...float64) float64 { return of[rng.IntN(len(of))] }
	f := Faults{
		Members: 3, Clients: 3 + rng.IntN(2),
		Storm: time.Duration(5+rng.IntN(8)) * time.Second,
		Drop:  pick(0, 0, 0.02, 0.1), Duplicate: pick(0, 0, 0.05, 0.2), Late: pick(0, 0.02, 0.1),
		CrashBefore: pick(0, 0.002, 0.01), CrashAfter: pick(0, 0.002, 0.01),
		SlowDisk: pick(0, 0, 0.05), LostReply: pick(0, 0.05, 0.2),
		Every: time.Duration(pick(300, 700, 1500)) * time.Millisecond,
		Crash: pick(0, 1, 3), CrashAll: pick(0, 0, 0.5), Destroy: pick(0, 0, 0.2),
		Split: pick(0, 1, 3), OneWay: pick(0, 1, 2),
		Pause: pick(0, 1), FalseAlarm: pick(0, 1), Unrest: pick(0, 0.5), Contest: pick(0, 1),
		SkewMax: time.Duration(pick(0, 50, 5000)) * time.Millisecond,
		Keep:    uint64(pick(2, 4, 16, 1000)), Hot: pick(0.1, 0.5),
	}
	f.drawCollect(pick)
	f.Lull = pick(0, 1, 3)
	f.Jump, f.Sluggish = pick(0, 0, 1), time.Duration(pick(0, 0, 30, 150))*time.Millisecond
	if rng.IntN(4) == 0 {
		f.Members = 5
	}
	if rng.IntN(20) == 0 {
		f.Members = 1
	}
	if rng.IntN(5) < 3 {
		f.Spares, f.Meddle, f.Absence = 1+rng.IntN(4), pick(0, 1), pick(0, 1)
		f.Destroy = pick(0, 0.3, 1)
		f.Storm += time.Duration(rng.IntN(8)) * time.Second
	}
	if rng.IntN(2) == 0 {
		f.Pieces, f.CrashBetween = true, pick(0, 0.01, 0.1)
	}
	return f
}
