package cmd

import (
	"context"
	"time"

	"peer/node/control"
)

// How long commands wait for the node. Each is longer than what the node
// allows itself for the same, so that its error arrives rather than ours.
const (
	callTimeout = 15 * time.Second
	initTimeout = 90 * time.Second // finds nodes, and sets up a group on them
)

// call runs do with the node of the home.
func (a *app) call(ctx context.Context, timeout time.Duration, do func(context.Context, *control.Client) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	return do(ctx, node)
}

// callRepo is call for a command about one repository. repo is its spelling for the node.
func (a *app) callRepo(ctx context.Context, arg string, do func(ctx context.Context, node *control.Client, repo string) error) error {
	return a.callRepoFor(ctx, callTimeout, arg, do)
}

// callRepoFor is callRepo for a command that may take longer.
func (a *app) callRepoFor(ctx context.Context, most time.Duration, arg string, do func(ctx context.Context, node *control.Client, repo string) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	ref, err := home.ResolveRepo(arg)
	if err != nil {
		return err
	}
	return a.call(ctx, most, func(ctx context.Context, node *control.Client) error {
		return do(ctx, node, ref.String())
	})
}
