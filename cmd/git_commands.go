package cmd

import "context"

// The commands below are git's, with git's arguments and exit codes.

type pullCmd struct {
	Args []string `arg:"" optional:"" help:"What git pull takes; outside a work tree, what peer clone takes."`
}

type pushCmd struct {
	Args []string `arg:"" optional:"" help:"What git push takes."`
}

type addCmd struct {
	Args []string `arg:"" optional:"" help:"What git add takes."`
}

type commitCmd struct {
	Args []string `arg:"" optional:"" help:"What git commit takes."`
}

// Run pulls, or clones where there is nothing to pull into.
func (c *pullCmd) Run(ctx context.Context, a *app) error {
	if len(c.Args) > 0 {
		tree, err := currentWorkTree(ctx)
		if err != nil {
			return err
		}
		if tree == nil {
			return (&cloneCmd{Args: c.Args}).Run(ctx, a)
		}
	}
	return a.become(gitPeer("pull", c.Args)...)
}

// Run pushes.
func (c *pushCmd) Run(a *app) error { return a.become(gitPeer("push", c.Args)...) }

// Run stages files.
func (c *addCmd) Run(a *app) error { return a.become(append([]string{"add"}, c.Args...)...) }

// Run commits.
func (c *commitCmd) Run(a *app) error { return a.become(append([]string{"commit"}, c.Args...)...) }

// allowPeer lets git use peer:// also where a submodule, not a person, asks for it.
const allowPeer = "protocol.peer.allow=always"

func gitPeer(command string, args []string) []string {
	return append([]string{"-c", allowPeer, command}, args...)
}
