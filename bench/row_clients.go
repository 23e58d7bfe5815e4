package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"
)

// crowd is clients that push to branches of their own, all at once.
type crowd struct {
	clients []*client
	copies  int // that each push leaves
	pushes  int // of each client in a round
	todo    [][]string
}

const pushesPerClient = 5

func manyClients(ctx context.Context, b *bench, rounds int, out *result) error {
	out.Unit = "pushes/s × copies"
	source, err := b.fixture(ctx, b.history())
	if err != nil {
		return err
	}
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	repo, err := f.newRepository(ctx, "crowd", source)
	if err != nil {
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
	peers, err := b.newCrowd(ctx, source, repo.url, f.env(0), replicas)
	if err != nil {
		return err
	}
	contenders := []*contender{peers.contender(ours)}
	for _, s := range []shape{stock, careful} {
		name := string(s) + ".git"
		if err := b.receiver(ctx, filepath.Join(root, name), source, s); err != nil {
			return err
		}
		c, err := b.newCrowd(ctx, source, d.url(name), nil, 1)
		if err != nil {
			return err
		}
		contenders = append(contenders, c.contender("git daemon, "+string(s)))
	}
	before, _, err := repo.whole(ctx)
	if err != nil {
		return err
	}
	err = race(ctx, out, rounds, 0, contenders...)
	out.ratio(ours, daemonStock, atLeast(1, "x"))
	out.ratio(ours, daemonCareful, atLeast(1, "x"))
	if err != nil {
		return err
	}
	after, _, err := repo.whole(ctx)
	out.absolute("terms begun under this load", float64(after.Term-before.Term), atMost(0, ""))
	return err
}

func (b *bench) newCrowd(ctx context.Context, source, url string, env []string, copies int) (*crowd, error) {
	g := &crowd{copies: copies, pushes: pushesPerClient}
	if b.cfg.quick {
		g.pushes = 1
	}
	for i := range b.cfg.clients {
		c, err := b.newClient(ctx, fmt.Sprintf("client%d", i), source, url, env)
		if err != nil {
			return nil, err
		}
		g.clients = append(g.clients, c)
	}
	return g, nil
}

func (g *crowd) contender(name string) *contender {
	return &contender{name: name, prepare: g.prepare, round: g.round}
}

func (g *crowd) prepare(ctx context.Context) error {
	g.todo = g.todo[:0]
	for _, c := range g.clients {
		if err := c.commit(ctx, g.pushes); err != nil {
			return err
		}
		oids, err := c.last(ctx, g.pushes)
		if err != nil {
			return err
		}
		g.todo = append(g.todo, oids)
	}
	return nil
}

func (g *crowd) round(ctx context.Context) (sample, error) {
	errs := make([]error, len(g.clients))
	var all sync.WaitGroup
	start := time.Now()
	for i, c := range g.clients {
		all.Go(func() { errs[i] = c.pushEach(ctx, g.todo[i], "refs/heads/"+c.name) })
	}
	all.Wait()
	took := time.Since(start).Seconds()
	perSecond := float64(len(g.clients)*g.pushes) / took
	return sample{value: perSecond * float64(g.copies), beside: map[string]float64{"pushes/s": perSecond}}, errors.Join(errs...)
}

// pushEach pushes one object ID after the other to a ref.
func (c *client) pushEach(ctx context.Context, oids []string, ref string) error {
	for _, oid := range oids {
		if _, err := c.push(ctx, oid+":"+ref); err != nil {
			return err
		}
	}
	return nil
}
