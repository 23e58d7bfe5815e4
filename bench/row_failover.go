package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

func leaderKilled(ctx context.Context, b *bench, rounds int, out *result) error {
	heal := func(ctx context.Context, n *node) error { return n.restart(ctx) }
	return failover(ctx, b, rounds, out, (*node).kill, heal, atMost(150, "ms"), atMost(500, "ms"))
}

func leaderSilent(ctx context.Context, b *bench, rounds int, out *result) error {
	heal := func(_ context.Context, n *node) error { n.thaw(); return nil }
	return failover(ctx, b, rounds, out, (*node).freeze, heal, atMost(700, "ms"), atMost(1500, "ms"))
}

// failover lets pushes during which the leader is lost alternate with pushes
// during which nothing happens, in the same repository. The person's own node is
// a follower: it is there before, during and after.
func failover(ctx context.Context, b *bench, rounds int, out *result, hurt func(*node) error, heal func(context.Context, *node) error, half, tail target) error {
	out.Unit = "ms"
	source, err := b.fixture(ctx, b.history())
	if err != nil {
		return err
	}
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	repo, err := f.newRepository(ctx, "failover", source)
	if err != nil {
		return err
	}
	c, err := b.newClient(ctx, "failover", source, repo.url, f.env(0))
	if err != nil {
		return err
	}
	const calm, lost = "push", "push, leader lost"
	l := &leaderLoss{repo: repo, client: c, hurt: hurt, heal: heal}
	err = race(ctx, out, rounds, 0,
		&contender{name: calm, prepare: l.prepare, round: l.push},
		&contender{name: lost, prepare: l.prepare, round: l.pushWithout, settle: l.mend})
	out.more(lost, calm, half)
	out.tailMore(lost, calm, tail)
	return err
}

// leaderLoss is the state of a failover row.
type leaderLoss struct {
	repo   *repository
	client *client
	hurt   func(*node) error
	heal   func(context.Context, *node) error

	leader  *node
	patient *node // whom mend has to bring back; nil if nobody
}

// prepare waits for the steady state: all in sync, and under the leader that
// the group prefers, which will not be replaced in the middle of a round.
func (l *leaderLoss) prepare(ctx context.Context) error {
	preferred := l.repo.fleet.highest()
	err := poll(ctx, pollInterval, settleMax, func() (err error) {
		if _, l.leader, err = l.repo.look(ctx); err == nil && l.leader != preferred {
			err = fmt.Errorf("%s leads, not %s, whose ID is the highest", l.leader.name, preferred.name)
		}
		return err
	})
	if err != nil {
		return err
	}
	return l.client.commit(ctx, 1)
}

func (l *leaderLoss) push(ctx context.Context) (sample, error) {
	start := time.Now()
	_, err := l.client.push(ctx, "main")
	took := time.Since(start)
	if err != nil {
		return sample{}, err
	}
	return sample{value: milliseconds(took)}, l.repo.applied(ctx, l.client)
}

func (l *leaderLoss) pushWithout(ctx context.Context) (sample, error) {
	start := time.Now()
	l.patient = l.leader
	if err := l.hurt(l.leader); err != nil {
		return sample{}, err
	}
	_, err := l.client.push(ctx, "main")
	return sample{value: milliseconds(time.Since(start))}, err
}

// mend brings the lost node back and waits until it has what it missed.
func (l *leaderLoss) mend(ctx context.Context) error {
	if l.patient == nil {
		return nil
	}
	err := l.heal(ctx, l.patient)
	l.patient = nil
	if err != nil {
		return err
	}
	_, _, whole := l.repo.whole(ctx)
	return errors.Join(whole, l.repo.applied(ctx, l.client))
}
