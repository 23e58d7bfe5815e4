package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// freshLogKeep is how many entries logs keep in this row: so few that a replica
// that missed twice as many gets the table and all objects instead of the log.
const freshLogKeep = 16

// freshReplica measures a replica that has nothing of a large repository yet. One
// that was dead since the repository was empty stands for it: all that it lacks is
// what a new member lacks.
func freshReplica(ctx context.Context, b *bench, rounds int, out *result) error {
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
	if err := f.restartWith(ctx, fmt.Sprintf("PEER_LOG_KEEP=%d", freshLogKeep)); err != nil {
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
	if err := b.receiver(ctx, d.path("large.git"), source, stock); err != nil {
		return err
	}
	r := &freshness{fleet: f, source: source}
	err = race(ctx, out, rounds, 0,
		&contender{name: ours, prepare: r.prepare, round: r.round},
		b.bareCloner("git clone --bare, stock", d.url("large.git")),
		b.bareCloner("git clone --bare, careful", d.url("large.git"), "-c", "core.fsync=all", "-c", "transfer.fsckObjects=true"))
	out.ratio(ours, "git clone --bare, stock", atMost(3, "x"))
	out.ratio(ours, "git clone --bare, careful", atMost(3, "x"))
	return err
}

// restartWith starts all nodes again, with more in their environment.
func (f *fleet) restartWith(ctx context.Context, env ...string) error {
	f.more = env
	for _, n := range f.nodes {
		if err := errors.Join(n.kill(), n.restart(ctx), n.identify(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// freshness is a follower that knows a repository only as an empty one.
type freshness struct {
	fleet  *fleet
	source string
	rounds int
	repo   *repository
	client *client
	fresh  *node
}

func (r *freshness) prepare(ctx context.Context) error {
	r.rounds++
	name := fmt.Sprintf("fresh-%d", r.rounds)
	var err error
	if r.repo, err = r.fleet.newRepository(ctx, name, ""); err != nil {
		return err
	}
	if r.client, err = r.fleet.b.newClient(ctx, name, r.source, r.repo.url, r.fleet.env(0)); err != nil {
		return err
	}
	_, leader, err := r.repo.whole(ctx)
	if err != nil {
		return err
	}
	for _, n := range r.fleet.nodes[1:] { // the first one serves the person
		if n != leader {
			r.fresh = n
		}
	}
	if err := r.fresh.kill(); err != nil {
		return err
	}
	if _, err := r.client.push(ctx, "main"); err != nil {
		return err
	}
	for i := range 2 * freshLogKeep { // each an entry, without objects
		if _, err := r.client.push(ctx, fmt.Sprintf("main:refs/heads/b%d", i)); err != nil {
			return err
		}
	}
	return nil
}

func (r *freshness) round(ctx context.Context) (sample, error) {
	start := time.Now()
	if err := r.fresh.restart(ctx); err != nil {
		return sample{}, err
	}
	ready := time.Since(start)
	if err := r.repo.applied(ctx, r.client); err != nil {
		return sample{}, err
	}
	applied := time.Since(start)
	_, _, err := r.repo.whole(ctx)
	return sample{value: time.Since(start).Seconds(), beside: map[string]float64{
		"until ready, s": ready.Seconds(), "until applied, s": applied.Seconds(),
	}}, err
}

// bareCloner clones as a mirror would be made.
func (b *bench) bareCloner(name, url string, config ...string) *contender {
	var dir string
	return &contender{
		name: name,
		prepare: func(context.Context) (err error) {
			dir, err = b.newDir("bare")
			return err
		},
		round: func(ctx context.Context) (sample, error) {
			args := append(append([]string{"git", "clone", "-q", "--bare"}, config...), url, dir)
			_, spent, err := b.run(ctx, command{args: args})
			return sample{value: spent.wall.Seconds()}, err
		},
		settle: func(context.Context) error { return os.RemoveAll(dir) },
	}
}
