package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Names of contenders that several rows have.
const (
	ours          = "peer, 3 replicas"
	daemonStock   = "git daemon, stock"
	daemonCareful = "git daemon, careful"
	pathStock     = "path, stock"
	pathCareful   = "path, careful"
)

// pusher pushes one new commit a round.
type pusher struct {
	client  *client
	servers []int // processes whose CPU time belongs to the push
	// applied, if any, waits until all replicas show an object ID.
	applied func(ctx context.Context, oid string) error
	oid     string
}

func (p *pusher) contender(name string) *contender {
	return &contender{name: name, prepare: p.prepare, round: p.round}
}

func (p *pusher) prepare(ctx context.Context) error {
	if err := p.client.commit(ctx, 1); err != nil {
		return err
	}
	var err error
	p.oid, err = p.client.head(ctx)
	return err
}

func (p *pusher) round(ctx context.Context) (sample, error) {
	before, err := cpuOf(p.servers)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	spent, err := p.client.push(ctx, "main")
	if err != nil {
		return sample{}, err
	}
	s := sample{value: milliseconds(spent.wall), beside: map[string]float64{}}
	if p.applied != nil {
		if err := p.applied(ctx, p.oid); err != nil {
			return s, err
		}
		s.beside["applied by all, ms"] = milliseconds(time.Since(start))
	}
	after, err := cpuOf(p.servers)
	s.beside["CPU, ms"] = milliseconds(spent.cpu + after - before)
	return s, err
}

func smallPush(ctx context.Context, b *bench, rounds int, out *result) error {
	out.Unit = "ms"
	source, err := b.fixture(ctx, b.history())
	if err != nil {
		return err
	}
	peers, stop, err := b.peerPusher(ctx, source)
	if err != nil {
		return err
	}
	defer stop()
	plain, stopDaemon, err := b.gitPushers(ctx, source)
	if err != nil {
		return err
	}
	defer stopDaemon()
	err = race(ctx, out, rounds, warmRounds, append([]*contender{peers.contender(ours)}, plain...)...)
	out.ratio(ours, daemonStock, atMost(1, "x"))
	out.ratio(ours, daemonCareful, atMost(1, "x"))
	out.ratio(ours, pathStock, atMost(2, "x"))
	out.ratio(ours, pathCareful, atMost(2, "x"))
	return err
}

func (b *bench) peerPusher(ctx context.Context, source string) (p *pusher, stop func(), err error) {
	f, err := b.followingFleet(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	repo, err := f.newRepository(ctx, "small", source)
	if err != nil {
		return nil, nil, err
	}
	c, err := b.newClient(ctx, "peer", source, repo.url, f.env(0))
	if err != nil {
		return nil, nil, err
	}
	return &pusher{client: c, servers: f.pids(), applied: repo.awaitPublished}, f.close, nil
}

// gitPushers are the baselines of small-push: by git daemon and by path, each
// stock and careful, each to a repository of its own.
func (b *bench) gitPushers(ctx context.Context, source string) (list []*contender, stop func(), err error) {
	root, err := b.newDir("git")
	if err != nil {
		return nil, nil, err
	}
	d, err := b.startGitDaemon(ctx, root)
	if err != nil {
		return nil, nil, err
	}
	for _, p := range []struct {
		name    string
		shape   shape
		network bool
	}{{daemonStock, stock, true}, {daemonCareful, careful, true}, {pathStock, stock, false}, {pathCareful, careful, false}} {
		dir := fmt.Sprintf("%s-%t.git", p.shape, p.network)
		url, servers := filepath.Join(root, dir), []int(nil) // git's own children are counted as its own
		if p.network {
			url, servers = d.url(dir), []int{d.pid()}
		}
		err := b.receiver(ctx, filepath.Join(root, dir), source, p.shape)
		c, clientErr := b.newClient(ctx, string(p.shape), source, url, nil)
		if err = errors.Join(err, clientErr); err != nil {
			d.stop()
			return nil, nil, err
		}
		list = append(list, (&pusher{client: c, servers: servers}).contender(p.name))
	}
	return list, d.stop, nil
}
