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
	out.Unit = "s"
	source, err := b.fixture(ctx, b.history())
	if err != nil {
		return err
	}
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	repo, err := f.newRepository(ctx, "cloned", source)
	if err != nil {
		return err
	}
	root, err := b.newDir("git")
	if err != nil {
		return err
	}
	if err := b.receiver(ctx, filepath.Join(root, "cloned.git"), source, stock); err != nil {
		return err
	}
	d, err := b.startGitDaemon(ctx, root)
	if err != nil {
		return err
	}
	defer d.stop()
	sources, err := repo.sources(ctx)
	if err != nil {
		return err
	}
	clones := b.cfg.clones
	if b.cfg.quick {
		clones = min(clones, 5)
	}
	sources = sources[:2] // both ways, of one node: nobody has two
	contenders := []*contender{b.cloners(origin{name: daemonStock, url: d.url("cloned.git")}, clones)}
	for _, o := range sources {
		contenders = append(contenders, f.watched(b.cloners(o, clones)))
	}
	out.fact("clones at once", float64(clones), "")
	err = race(ctx, out, rounds, 0, contenders...)
	for _, o := range sources {
		out.ratio(o.name, daemonStock, atMost(1.1, "x"))
	}
	return err
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
