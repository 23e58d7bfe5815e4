package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// reader is one way to read, with a repository, a pusher and a clone of its own,
// so that each fetch finds exactly the commit of its own round.
type reader struct {
	origin
	writer  *client
	clone   *client
	applied func(ctx context.Context, oid string) error // if any
}

func lsRemote(ctx context.Context, b *bench, rounds int, out *result) error {
	return readRow(ctx, b, rounds, out, atMost(1.8, "x"), func(r *reader) *contender {
		return &contender{name: r.name, skip: r.skip, round: r.list}
	})
}

func fetchOne(ctx context.Context, b *bench, rounds int, out *result) error {
	return readRow(ctx, b, rounds, out, atMost(1.3, "x"), func(r *reader) *contender {
		return &contender{name: r.name, skip: r.skip, prepare: r.write, round: r.fetch}
	})
}

func readRow(ctx context.Context, b *bench, rounds int, out *result, goal target, enter func(*reader) *contender) error {
	out.Unit = "ms"
	source, err := b.fixture(ctx, b.history())
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
	f, err := b.followingFleet(ctx)
	if err != nil {
		return err
	}
	defer f.close()
	plain, err := d.readers(ctx, b, source)
	if err != nil {
		return err
	}
	peers, err := f.readers(ctx, source)
	if err != nil {
		return err
	}
	var contenders []*contender
	for _, r := range append(plain, peers...) {
		contenders = append(contenders, enter(r))
	}
	err = race(ctx, out, rounds, warmRounds, contenders...)
	for _, r := range peers {
		out.ratio(r.name, pathStock, goal)
	}
	return err
}

// readers are plain git by path and by daemon. Git made careful is no baseline
// here: it is the reader who writes, and all readers are the same git.
func (g *gitDaemon) readers(ctx context.Context, b *bench, source string) ([]*reader, error) {
	var list []*reader
	for _, o := range []origin{{name: pathStock, url: g.path("path.git")}, {name: daemonStock, url: g.url("daemon.git")}} {
		path := g.path(filepath.Base(o.url))
		if err := b.receiver(ctx, path, source, stock); err != nil {
			return nil, err
		}
		r := &reader{origin: o}
		if err := r.open(ctx, b, source, path, nil); err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// readers are the helper and the git daemon, at the node of the person (which
// follows) and at the leader.
func (f *fleet) readers(ctx context.Context, source string) ([]*reader, error) {
	var list []*reader
	for i, n := range f.nodes {
		for _, by := range []string{"helper", "git://"} {
			repo, err := f.newRepository(ctx, fmt.Sprintf("read-%d-%.3s", i, by), source)
			if err != nil {
				return nil, err
			}
			role, err := repo.role(ctx, n)
			if err != nil {
				return nil, err
			}
			if i > 0 && role == n.name+", follower" {
				continue // like the first node
			}
			r := &reader{origin: origin{name: by + ", " + role, url: repo.url, env: f.env(i)}, applied: repo.awaitPublished}
			if by != "helper" {
				r.origin = repo.gitOrigin(n, r.name)
			}
			if err := r.open(ctx, f.b, source, repo.url, f.env(0)); err != nil {
				return nil, err
			}
			list = append(list, r)
		}
	}
	return list, nil
}

func (r *reader) open(ctx context.Context, b *bench, source, pushURL string, pushEnv []string) (err error) {
	if r.writer, err = b.newClient(ctx, "writer", source, pushURL, pushEnv); err != nil {
		return err
	}
	r.clone, err = b.newClient(ctx, "reader", source, r.url, r.env)
	return err
}

// write gives the next fetch something to bring.
func (r *reader) write(ctx context.Context) error {
	if err := r.writer.commit(ctx, 1); err != nil {
		return err
	}
	if _, err := r.writer.push(ctx, "main"); err != nil {
		return err
	}
	if r.applied == nil {
		return nil
	}
	oid, err := r.writer.head(ctx)
	if err != nil {
		return err
	}
	return r.applied(ctx, oid)
}

func (r *reader) list(ctx context.Context) (sample, error) {
	out, spent, err := r.clone.git(ctx, "ls-remote", "origin")
	if err == nil && out == "" {
		err = fmt.Errorf("git ls-remote %s listed nothing", r.url)
	}
	return sample{value: milliseconds(spent.wall)}, err
}

func (r *reader) fetch(ctx context.Context) (sample, error) {
	_, spent, err := r.clone.git(ctx, "fetch", "-q", "origin")
	if err != nil {
		return sample{}, err
	}
	want, err := r.writer.head(ctx)
	if err != nil {
		return sample{}, err
	}
	if got, _, err := r.clone.git(ctx, "rev-parse", "refs/remotes/origin/main"); err != nil || got != want {
		return sample{}, fmt.Errorf("the fetch brought %q, not %s: %w", got, want, err)
	}
	return sample{value: milliseconds(spent.wall)}, nil
}
