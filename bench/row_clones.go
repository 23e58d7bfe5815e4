package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// clonesAtOnce has many people clone a repository at the same moment: all by the
// helper, all by peer's git://, and all from git daemon.
func clonesAtOnce(ctx context.Context, b *bench, rounds int, out *result) error {
	clones := b.cfg.clones
	if b.cfg.quick {
		clones = min(clones, 5)
	}
	out.fact("clones at once", float64(clones), "")
	both := func(sources []origin) []origin { return sources[:2] } // ways, at one node: nobody has two
	return cloneRow(ctx, b, b.history(), rounds, out, both, func(o origin) *contender { return b.cloners(o, clones) })
}

// cloners clone all at once; one that fails fails the round.
func (b *bench) cloners(o origin, clones int) *contender {
	dir := filepath.Join(b.work, "clones")
	return &contender{
		name: o.name,
		skip: o.skip,
		round: func(ctx context.Context) (sample, error) {
			var all sync.WaitGroup
			costs, errs := make([]cost, clones), make([]error, clones)
			start := time.Now()
			for i := range clones {
				all.Go(func() {
					to := filepath.Join(dir, fmt.Sprint(i))
					_, costs[i], errs[i] = b.run(ctx, command{env: o.env, args: []string{"git", "clone", "-q", "--no-checkout", o.url, to}})
				})
			}
			all.Wait()
			s := sample{value: time.Since(start).Seconds(), beside: map[string]float64{}}
			for _, c := range costs {
				s.beside["client CPU, s"] += c.cpu.Seconds()
			}
			return s, errors.Join(errs...)
		},
		settle: func(context.Context) error { return os.RemoveAll(dir) },
	}
}
