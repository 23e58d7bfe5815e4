package main

import (
	"context"
	"fmt"
	"time"
)

// wait sleeps unless the context ends.
func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func idleNodes(ctx context.Context, b *bench, _ int, out *result) error {
	f, err := b.newFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	out.fact("settled before", b.cfg.settle.Seconds(), "s")
	out.fact("watched", b.cfg.idle.Seconds(), "s")
	if err := f.watchIdle(ctx, out, "empty", atMost(1, "%"), atMost(60, "MB")); err != nil {
		return err
	}
	repos := b.cfg.idleRepos
	if b.cfg.quick {
		repos = min(repos, 5)
	}
	for i := range repos {
		var made any
		if err := f.nodes[0].ask(ctx, &made, "init", fmt.Sprintf("idle-%d", i), "--json"); err != nil {
			return err
		}
	}
	return f.watchIdle(ctx, out, fmt.Sprintf("with %d repositories", repos), atMost(2, "%"), atMost(200, "MB"))
}

// watchIdle reports the node that takes most, since that is the one that its
// owner would notice.
func (f *fleet) watchIdle(ctx context.Context, out *result, state string, cpu, rss target) error {
	if err := wait(ctx, f.b.cfg.settle); err != nil {
		return err
	}
	before := make([]time.Duration, len(f.nodes))
	for i, pid := range f.pids() {
		var err error
		if before[i], err = cpuOf([]int{pid}); err != nil {
			return err
		}
	}
	start := time.Now()
	if err := wait(ctx, f.b.cfg.idle); err != nil {
		return err
	}
	watched := time.Since(start)
	var worst, resident float64
	for i, pid := range f.pids() {
		after, err := cpuOf([]int{pid})
		if err != nil {
			return err
		}
		m, err := memoryOf(pid)
		if err != nil {
			return err
		}
		percent := 100 * float64(after-before[i]) / float64(watched)
		worst, resident = max(worst, percent), max(resident, megabytes(m.resident))
		out.fact(fmt.Sprintf("%s, %s: CPU of one core", state, f.nodes[i].name), percent, "%")
		out.fact(fmt.Sprintf("%s, %s: resident", state, f.nodes[i].name), megabytes(m.resident), "MB")
		out.fact(fmt.Sprintf("%s, %s: of it anonymous", state, f.nodes[i].name), megabytes(m.anon), "MB")
	}
	out.absolute(state+": CPU of one core, the busiest node", worst, cpu)
	out.absolute(state+": resident, the largest node", resident, rss)
	return nil
}
