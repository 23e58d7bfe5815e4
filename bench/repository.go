package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// repository is one that the fleet holds, with a replica on each node.
type repository struct {
	fleet *fleet
	url   string
	dirs  []string // the bare repository on each node
}

// view is what "peer repo show --json" prints.
type view struct {
	Leader   string `json:"leader"`
	Term     uint64 `json:"term"`
	Index    uint64 `json:"index"`
	Dir      string `json:"dir"`
	Replicas []struct {
		Peer   string `json:"peer"`
		Alive  bool   `json:"alive"`
		InSync bool   `json:"in_sync"`
		Index  uint64 `json:"index"`
	} `json:"replicas"`
}

// newRepository makes one, with the history of source unless that is empty.
func (f *fleet) newRepository(ctx context.Context, name, source string) (*repository, error) {
	var made struct {
		URL      string   `json:"url"`
		Replicas []any    `json:"replicas"`
		Warnings []string `json:"warnings"`
	}
	if err := f.nodes[0].ask(ctx, &made, "init", name, "--replicas", fmt.Sprint(replicas), "--json"); err != nil {
		return nil, err
	}
	if len(made.Replicas) != replicas {
		return nil, fmt.Errorf("%s has %d replicas: %s", name, len(made.Replicas), strings.Join(made.Warnings, "; "))
	}
	r := &repository{fleet: f, url: made.URL}
	if _, _, err := r.whole(ctx); err != nil {
		return nil, err
	}
	for _, n := range f.nodes {
		v, err := r.show(ctx, n)
		if err != nil {
			return nil, err
		}
		r.dirs = append(r.dirs, v.Dir)
	}
	if source == "" {
		return r, nil
	}
	c, err := f.b.newClient(ctx, "seed", source, r.url, f.env(0))
	if err != nil {
		return nil, err
	}
	if _, err := c.push(ctx, "main"); err != nil {
		return nil, err
	}
	return r, r.applied(ctx, c)
}

func (r *repository) show(ctx context.Context, n *node) (view, error) {
	var v view
	err := n.ask(ctx, &v, "repo", "show", r.url, "--json")
	return v, err
}

// look describes the group as it is now. It is an error if the group is not
// whole: all replicas alive and in sync, under a leader.
func (r *repository) look(ctx context.Context) (v view, leader *node, err error) {
	if v, err = r.show(ctx, r.fleet.nodes[0]); err != nil {
		return v, nil, err
	}
	if err := v.trouble(); err != nil {
		return v, nil, err
	}
	for _, n := range r.fleet.nodes {
		if n.peerID == v.Leader {
			return v, n, nil
		}
	}
	return v, nil, fmt.Errorf("the leader %s is none of the nodes", v.Leader)
}

// whole waits until the group is.
func (r *repository) whole(ctx context.Context) (v view, leader *node, err error) {
	err = poll(ctx, pollInterval, settleMax, func() error {
		v, leader, err = r.look(ctx)
		return err
	})
	return v, leader, err
}

// trouble says why a group is not whole.
func (v view) trouble() error {
	if v.Leader == "" {
		return errors.New("nobody leads")
	}
	for _, p := range v.Replicas {
		if !p.Alive || !p.InSync {
			return fmt.Errorf("replica %s: alive %t, in sync %t", p.Peer, p.Alive, p.InSync)
		}
	}
	return nil
}

// role describes a node for people.
func (r *repository) role(ctx context.Context, n *node) (string, error) {
	_, leader, err := r.whole(ctx)
	if leader == n {
		return n.name + ", leader", err
	}
	return n.name + ", follower", err
}

// gitURL is where a node's own git daemon serves the repository.
func (r *repository) gitURL(n *node) string {
	return "git://" + n.git + "/" + strings.TrimPrefix(r.url, "peer://")
}

// published says whether every replica's git shows main at an object ID. It reads
// files, since a child process would take longer than what is measured.
func (r *repository) published(oid string) error {
	for i, dir := range r.dirs {
		if err := publishedIn(dir, oid); err != nil {
			return fmt.Errorf("%s: %w", r.fleet.nodes[i].name, err)
		}
	}
	return nil
}

// publishedIn looks into packed-refs: a replica has no loose refs.
func publishedIn(dir, oid string) error {
	raw, err := os.ReadFile(filepath.Join(dir, "packed-refs"))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if lines.Text() == oid+" refs/heads/main" {
			return nil
		}
	}
	return fmt.Errorf("main is not at %s", oid)
}

// applied waits until every replica shows what the client last pushed.
func (r *repository) applied(ctx context.Context, c *client) error {
	oid, err := c.head(ctx)
	if err != nil {
		return err
	}
	return r.awaitPublished(ctx, oid)
}

const publishedPoll = 500 * time.Microsecond

func (r *repository) awaitPublished(ctx context.Context, oid string) error {
	return poll(ctx, publishedPoll, settleMax, func() error { return r.published(oid) })
}
