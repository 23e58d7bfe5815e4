package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// client is a person's clone, that pushes to and fetches from one remote.
type client struct {
	b       *bench
	name    string
	dir     string
	env     []string // PEER_HOME and the like
	commits int      // made here
}

// newClient clones source, which is on this disk, and names url as the origin.
func (b *bench) newClient(ctx context.Context, name, source, url string, env []string) (*client, error) {
	dir, err := b.newDir("client-" + name)
	if err != nil {
		return nil, err
	}
	c := &client{b: b, name: name, dir: filepath.Join(dir, "clone"), env: env}
	if err := b.git(ctx, "", "clone", "-q", "--no-checkout", source, c.dir); err != nil {
		return nil, err
	}
	return c, b.git(ctx, c.dir, "remote", "set-url", "origin", url)
}

// commit adds n commits to main, each of three new objects: commit, tree, blob.
func (c *client) commit(ctx context.Context, n int) error {
	return c.b.fastImport(ctx, c.dir, func(s *importStream) {
		from := "refs/heads/main^0"
		for range n {
			c.commits++
			s.commit(c.commits, from)
			s.file("note.txt", fmt.Appendf(nil, "note %d of %s\n", c.commits, c.name))
			from = ""
		}
	})
}

func (c *client) git(ctx context.Context, args ...string) (string, cost, error) {
	out, spent, err := c.b.run(ctx, command{dir: c.dir, env: c.env, args: append([]string{"git"}, args...)})
	return strings.TrimSpace(out), spent, err
}

// push pushes refs quietly, as scripts do; a terminal would get progress.
func (c *client) push(ctx context.Context, refs ...string) (cost, error) {
	_, spent, err := c.git(ctx, append([]string{"push", "-q", "origin"}, refs...)...)
	return spent, err
}

// head is the object ID of main.
func (c *client) head(ctx context.Context) (string, error) {
	out, _, err := c.git(ctx, "rev-parse", "--verify", "refs/heads/main")
	return out, err
}

// last lists the object IDs of the n newest commits of main, the oldest first.
func (c *client) last(ctx context.Context, n int) ([]string, error) {
	out, _, err := c.git(ctx, "rev-list", "--reverse", fmt.Sprintf("--max-count=%d", n), "refs/heads/main")
	return strings.Fields(out), err
}

// shape is how plain git is set up where it receives.
type shape string

const (
	stock   shape = "stock"
	careful shape = "careful"
)

// receiver makes a bare repository at path that takes pushes, seeded from source
// unless that is empty.
func (b *bench) receiver(ctx context.Context, path, source string, s shape) error {
	args := []string{"init", "-q", "--bare", "-b", "main", path}
	if source != "" {
		args = []string{"clone", "-q", "--bare", source, path}
	}
	if err := b.git(ctx, "", args...); err != nil {
		return err
	}
	if s == stock {
		return nil
	}
	if err := b.git(ctx, path, "config", "core.fsync", "all"); err != nil {
		return err
	}
	return b.git(ctx, path, "config", "receive.fsckObjects", "true")
}
