package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func largePush(ctx context.Context, b *bench, rounds int, out *result) error {
	out.Unit = "s"
	source, err := b.fixture(ctx, b.large())
	if err != nil {
		return err
	}
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	root, err := b.newDir("git")
	if err != nil {
		return err
	}
	d, err := b.startGitDaemon(ctx, root)
	if err != nil {
		return err
	}
	defer d.stop()
	if err := f.noteSmallerPush(ctx, out); err != nil {
		return err
	}
	contenders := []*contender{f.largePusher(source), d.largePusher(b, source, stock), d.largePusher(b, source, careful)}
	err = race(ctx, out, rounds, 0, contenders...)
	out.ratio(ours, daemonStock, atMost(1.5, "x"))
	out.ratio(ours, daemonCareful, atMost(1.5, "x"))
	return err
}

// noteSmallerPush pushes a pack a tenth as large first: the memory that this
// takes tells whether memory grows with the pack.
func (f *fleet) noteSmallerPush(ctx context.Context, out *result) error {
	source, err := f.b.fixture(ctx, f.b.tenth())
	if err != nil {
		return err
	}
	for i, pid := range f.pids() {
		m, err := memoryOf(pid)
		if err != nil {
			return err
		}
		out.fact(f.nodes[i].name+": anonymous memory before", megabytes(m.anon), "MB")
	}
	small := f.largePusher(source)
	if err := small.prepare(ctx); err != nil {
		return err
	}
	s, err := small.round(ctx)
	if err != nil {
		return err
	}
	for _, n := range f.nodes {
		out.fact(n.name+": peak of it during a push a tenth as large", s.beside[n.name+" anon, MB"], "MB")
	}
	return nil
}

// largePusher pushes all of source to a new repository each round.
func (f *fleet) largePusher(source string) *contender {
	var repo *repository
	var c *client
	round := 0
	return &contender{
		name: ours,
		prepare: func(ctx context.Context) (err error) {
			round++
			name := fmt.Sprintf("%s-%d", filepath.Base(source), round)
			if repo, err = f.newRepository(ctx, name, ""); err != nil {
				return err
			}
			c, err = f.b.newClient(ctx, "large", source, repo.url, f.env(0))
			return err
		},
		round: func(ctx context.Context) (sample, error) { return f.pushLarge(ctx, c, repo) },
	}
}

func (f *fleet) pushLarge(ctx context.Context, c *client, repo *repository) (sample, error) {
	before, err := cpuOf(f.pids())
	if err != nil {
		return sample{}, err
	}
	watch := watchMemory(ctx, f.pids())
	start := time.Now()
	spent, err := c.push(ctx, "main")
	if err == nil {
		err = repo.applied(ctx, c)
	}
	all := time.Since(start)
	peaks := watch.stop()
	if err != nil {
		return sample{}, err
	}
	after, err := cpuOf(f.pids())
	s := sample{value: spent.wall.Seconds(), beside: map[string]float64{
		"applied by all, s": all.Seconds(),
		"CPU, s":            (spent.cpu + after - before).Seconds(),
	}}
	for i, n := range f.nodes {
		s.beside[n.name+" anon, MB"] = megabytes(peaks[i].anon)
		s.beside[n.name+" high water, MB"] = megabytes(peaks[i].highWater)
	}
	return s, err
}

// largePusher pushes all of source to a new repository of the daemon each round.
func (g *gitDaemon) largePusher(b *bench, source string, s shape) *contender {
	name := "large-" + string(s) + ".git"
	var c *client
	return &contender{
		name: "git daemon, " + string(s),
		prepare: func(ctx context.Context) (err error) {
			if err = b.receiver(ctx, g.path(name), "", s); err != nil {
				return err
			}
			c, err = b.newClient(ctx, "large", source, g.url(name), nil)
			return err
		},
		round: func(ctx context.Context) (sample, error) {
			before, err := cpuOf([]int{g.pid()})
			if err != nil {
				return sample{}, err
			}
			spent, err := c.push(ctx, "main")
			if err != nil {
				return sample{}, err
			}
			after, err := cpuOf([]int{g.pid()})
			cpu := spent.cpu + after - before
			return sample{value: spent.wall.Seconds(), beside: map[string]float64{"CPU, s": cpu.Seconds()}}, err
		},
		settle: func(context.Context) error { return os.RemoveAll(g.path(name)) },
	}
}

func cloneLarge(ctx context.Context, b *bench, rounds int, out *result) error {
	everybody := func(sources []origin) []origin { return sources }
	return cloneRow(ctx, b, b.large(), rounds, out, everybody, b.cloner)
}

// cloneRow compares clones from the sources that pick leaves with those from git
// daemon, each by what enter makes of it.
func cloneRow(ctx context.Context, b *bench, of fixture, rounds int, out *result, pick func([]origin) []origin, enter func(origin) *contender) error {
	out.Unit = "s"
	source, err := b.fixture(ctx, of)
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
	sources = pick(sources)
	contenders := []*contender{enter(origin{name: daemonStock, url: d.url("cloned.git")})}
	for _, o := range sources {
		contenders = append(contenders, f.watched(enter(o)))
	}
	err = race(ctx, out, rounds, 0, contenders...)
	for _, o := range sources {
		out.ratio(o.name, daemonStock, atMost(1.1, "x"))
	}
	return err
}

func (b *bench) cloner(o origin) *contender {
	dir := filepath.Join(b.work, "cloned")
	return &contender{
		name: o.name,
		skip: o.skip,
		round: func(ctx context.Context) (sample, error) {
			_, spent, err := b.run(ctx, command{env: o.env, args: []string{"git", "clone", "-q", "--no-checkout", o.url, dir}})
			return sample{value: spent.wall.Seconds(), beside: map[string]float64{"client CPU, s": spent.cpu.Seconds()}}, err
		},
		settle: func(context.Context) error { return os.RemoveAll(dir) },
	}
}

// watched notes how much memory the nodes need for a round.
func (f *fleet) watched(c *contender) *contender {
	round := c.round
	c.round = func(ctx context.Context) (sample, error) {
		watch := watchMemory(ctx, f.pids())
		s, err := round(ctx)
		peaks := watch.stop()
		if err != nil {
			return s, err
		}
		for i, n := range f.nodes {
			s.beside[n.name+" anon, MB"] = megabytes(peaks[i].anon)
		}
		return s, nil
	}
	return c
}
