package main

import (
	"context"
	"os"
	"strings"
	"time"
)

// rows are the lines of the table of targets, in its order.
var rows = []row{
	{name: "small-push", rounds: 30, run: smallPush,
		what: "push of one commit onto a history, acknowledged by three durable replicas on this machine"},
	{name: "large-push", rounds: 3, run: largePush,
		what: "push of a large pack to an empty repository with three replicas"},
	{name: "clone", rounds: 3, run: cloneLarge,
		what: "clone of a large repository from each replica, without a checkout"},
	{name: "clones-at-once", rounds: 3, run: clonesAtOnce,
		what: "many clones of one repository at the same time, until the last is done"},
	{name: "ls-remote", rounds: 30, run: lsRemote,
		what: "git ls-remote"},
	{name: "fetch", rounds: 30, run: fetchOne,
		what: "git fetch of one commit"},
	{name: "leader-killed", rounds: 20, run: leaderKilled,
		what: "from kill -9 of the leader to the next acknowledged push"},
	{name: "leader-silent", rounds: 20, run: leaderSilent,
		what: "from SIGSTOP of the leader to the next acknowledged push"},
	{name: "many-clients", rounds: 5, run: manyClients,
		what: "clients that push to branches of one repository at once: pushes a second, times the copies that each leaves"},
	{name: "catch-up", rounds: 3, run: catchUp,
		what: "a replica that was killed and missed small pushes, from the start of its process until all replicas are in sync and it shows the last one"},
	{name: "fresh-replica", rounds: 3, run: freshReplica,
		what: "a replica without anything of a large repository, from the start of its process until all replicas are in sync and it shows all"},
	{name: "idle", rounds: 1, run: idleNodes,
		what: "nodes that nobody uses"},
	{name: "start", rounds: 50, run: startUp,
		what: "start to end of peer version"},
}

func rowNames() string {
	var names []string
	for _, r := range rows {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}

// quickRounds is the most that a row gets with -quick.
const quickRounds = 2

// measureRow runs one row in a directory of its own. Whatever fails is part of
// its result.
func (b *bench) measureRow(ctx context.Context, r row) *result {
	rounds := r.rounds
	switch {
	case b.cfg.rounds > 0:
		rounds = b.cfg.rounds
	case b.cfg.quick:
		rounds = min(rounds, quickRounds)
	}
	out := &result{Row: r.name, What: r.what, Rounds: rounds}
	b.say("%s, %d rounds", r.name, rounds)
	start := time.Now()
	if err := b.runRow(ctx, r, rounds, out); err != nil {
		out.Error = err.Error()
	}
	b.say("%s took %v", r.name, time.Since(start).Round(time.Second))
	return out
}

func (b *bench) runRow(ctx context.Context, r row, rounds int, out *result) error {
	var err error
	if b.work, err = os.MkdirTemp(b.dir, "row-"); err != nil {
		return err
	}
	if !b.cfg.keep {
		defer os.RemoveAll(b.work)
	}
	return r.run(ctx, b, rounds, out)
}

// warmRounds are run before those that count, by rows whose rounds are short.
const warmRounds = 1

// Sizes of the test repositories.
func (b *bench) history() fixture {
	if b.cfg.quick {
		return history(200)
	}
	return history(3000)
}

func (b *bench) large() fixture {
	if b.cfg.quick {
		return large(10)
	}
	return large(largeBlobs(b.cfg.largeMB))
}

// largeBlobs makes a pack of so many MB.
func largeBlobs(megabytes int) int { return megabytes * 2 / 5 }

// tenth is a repository a tenth as large as that of large.
func (b *bench) tenth() fixture {
	if b.cfg.quick {
		return large(1)
	}
	return large(max(largeBlobs(b.cfg.largeMB)/10, 1))
}
