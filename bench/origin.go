package main

import (
	"context"
	"fmt"
)

// origin is one way to read a repository.
type origin struct {
	name string
	url  string
	env  []string
	skip string // if not "", why it can't be
}

// sources are the ways to read a repository of the fleet: by the helper, which
// asks the node of its home, and by that node's git daemon; for each node.
func (r *repository) sources(ctx context.Context) ([]origin, error) {
	var list []origin
	for i, n := range r.fleet.nodes {
		role, err := r.role(ctx, n)
		if err != nil {
			return nil, err
		}
		list = append(list,
			origin{name: fmt.Sprintf("helper, %s", role), url: r.url, env: r.fleet.env(i)},
			r.gitOrigin(n, fmt.Sprintf("git://, %s", role)))
	}
	return list, nil
}

func (r *repository) gitOrigin(n *node, name string) origin {
	o := origin{name: name, url: r.gitURL(n)}
	if n.git == "" {
		o.skip = "peer status names no git_addr: this peer has no git daemon, or it is off"
	}
	return o
}
