package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func catchUp(ctx context.Context, b *bench, rounds int, out *result) error {
	out.Unit = "s"
	missed := b.cfg.missed
	if b.cfg.quick {
		missed = min(missed, 20)
	}
	out.fact("pushes missed", float64(missed), "")
	source, err := b.fixture(ctx, b.history())
	if err != nil {
		return err
	}
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	a := &absence{missed: missed}
	if a.repo, err = f.newRepository(ctx, "absence", source); err != nil {
		return err
	}
	if a.client, err = b.newClient(ctx, "absence", source, a.repo.url, f.env(0)); err != nil {
		return err
	}
	root, err := b.newDir("git")
	if err != nil {
		return err
	}
	d, err := b.startGitDaemon(ctx, root)
	if err != nil {
		return err
	}
	defer d.stop()
	contenders := []*contender{{name: ours, prepare: a.prepare, round: a.round}}
	for _, s := range []shape{stock, careful} {
		m, err := d.newMirror(ctx, b, source, s, missed)
		if err != nil {
			return err
		}
		contenders = append(contenders, &contender{name: "git fetch, " + string(s), prepare: m.prepare, round: m.round})
	}
	err = race(ctx, out, rounds, 0, contenders...)
	out.ratio(ours, "git fetch, stock", atMost(3, "x"))
	out.ratio(ours, "git fetch, careful", atMost(3, "x"))
	return err
}

// absence is a follower that is dead while others push.
type absence struct {
	repo   *repository
	client *client
	missed int
	gone   *node
}

func (a *absence) prepare(ctx context.Context) error {
	_, leader, err := a.repo.whole(ctx)
	if err != nil {
		return err
	}
	for _, n := range a.repo.fleet.nodes[1:] { // the first one serves the person
		if n != leader {
			a.gone = n
		}
	}
	if err := a.client.commit(ctx, a.missed); err != nil {
		return err
	}
	oids, err := a.client.last(ctx, a.missed)
	if err != nil {
		return err
	}
	if err := a.gone.kill(); err != nil {
		return err
	}
	return a.client.pushEach(ctx, oids, "refs/heads/main")
}

func (a *absence) round(ctx context.Context) (sample, error) {
	start := time.Now()
	if err := a.gone.restart(ctx); err != nil {
		return sample{}, err
	}
	ready := time.Since(start)
	if err := a.repo.applied(ctx, a.client); err != nil {
		return sample{}, err
	}
	applied := time.Since(start)
	// Asking costs the start of a process, which is counted: it is little here.
	_, _, err := a.repo.whole(ctx)
	return sample{value: time.Since(start).Seconds(), beside: map[string]float64{
		"until ready, s": ready.Seconds(), "until applied, s": applied.Seconds(),
	}}, err
}

// mirror is a bare clone that fetches what came in by as many pushes.
type mirror struct {
	b      *bench
	writer *client
	dir    string
	missed int
}

func (g *gitDaemon) newMirror(ctx context.Context, b *bench, source string, s shape, missed int) (*mirror, error) {
	name := "origin-" + string(s) + ".git"
	m := &mirror{b: b, dir: g.path("mirror-" + string(s) + ".git"), missed: missed}
	if err := errors.Join(b.receiver(ctx, g.path(name), source, stock), b.receiver(ctx, m.dir, source, s)); err != nil {
		return nil, err
	}
	if s == careful {
		if err := b.git(ctx, m.dir, "config", "fetch.fsckObjects", "true"); err != nil {
			return nil, err
		}
	}
	if err := b.git(ctx, m.dir, "remote", "set-url", "origin", g.url(name)); err != nil {
		return nil, err
	}
	var err error
	m.writer, err = b.newClient(ctx, "mirror", source, g.path(name), nil)
	return m, err
}

func (m *mirror) prepare(ctx context.Context) error {
	if err := m.writer.commit(ctx, m.missed); err != nil {
		return err
	}
	oids, err := m.writer.last(ctx, m.missed)
	if err != nil {
		return err
	}
	return m.writer.pushEach(ctx, oids, "refs/heads/main")
}

func (m *mirror) round(ctx context.Context) (sample, error) {
	_, spent, err := m.b.run(ctx, command{dir: m.dir, args: []string{"git", "fetch", "-q", "origin", "refs/heads/*:refs/heads/*"}})
	if err != nil {
		return sample{}, err
	}
	want, err := m.writer.head(ctx)
	if err != nil {
		return sample{}, err
	}
	out, _, err := m.b.run(ctx, command{dir: m.dir, args: []string{"git", "rev-parse", "refs/heads/main"}})
	if err == nil && out != want+"\n" {
		err = fmt.Errorf("the fetch brought %q, not %s", out, want)
	}
	return sample{value: spent.wall.Seconds()}, err
}
