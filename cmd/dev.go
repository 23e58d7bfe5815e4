package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Limits of peer dev.
const (
	devNodesMax     = 15
	devNodesDefault = 3
	devReadyTimeout = 60 * time.Second
	devMeetTimeout  = 10 * time.Second // for the nodes to find each other, once they serve
	devStopPatience = 5 * time.Second  // from SIGTERM to SIGKILL
	devPoll         = 20 * time.Millisecond
)

type devCmd struct {
	Nodes    int    `help:"How many nodes; by default as many as last time, at first 3." placeholder:"N"`
	Dir      string `help:"Directory of the network; by default peer/dev/ in the XDG state directory." placeholder:"DIR"`
	LogLevel string `help:"Least level that the nodes log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
}

// Run runs a network of processes until it is interrupted.
func (c *devCmd) Run(ctx context.Context, a *app) error {
	if c.Nodes < 0 || c.Nodes > devNodesMax {
		return usage("three are enough to lose one", "--nodes: want between 1 and %d", devNodesMax)
	}
	dir, err := devDir(c.Dir)
	if err != nil {
		return err
	}
	lock, err := flock(filepath.Join(dir, "lock"), false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return hinted(fmt.Errorf("a network already runs in %s", dir), "use it: . "+shellQuote(filepath.Join(dir, "env"))+"; or choose another: --dir DIR")
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	defer lock.Close()

	network, err := prepareDev(ctx, dir, c.Nodes)
	if err != nil {
		return err
	}
	binary, err := installDev(dir, network.homes[0])
	if err != nil {
		return err
	}
	fmt.Fprintf(a.errs, "peer: starting %d nodes in %s\n", len(network.homes), dir)
	f := &fleet{binary: binary, logLevel: c.LogLevel, errs: a.errs}
	defer f.stop()
	if err := f.start(network.homes); err != nil {
		return err
	}
	if err := f.awaitReady(ctx); err != nil {
		return err
	}
	c.greet(a.out, dir, network)
	f.watch(ctx)
	return nil
}

func devDir(dir string) (string, error) {
	if dir == "" {
		state := os.Getenv("XDG_STATE_HOME")
		if !filepath.IsAbs(state) {
			user, err := os.UserHomeDir()
			if err != nil {
				return "", hinted(fmt.Errorf("find a directory: %w", err), "name one with --dir DIR")
			}
			state = filepath.Join(user, ".local", "state")
		}
		dir = filepath.Join(state, "peer", "dev")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}

// greet says that all serve, and what to type now.
func (c *devCmd) greet(out io.Writer, dir string, network *devNetwork) {
	fmt.Fprintf(out, `ready

%d nodes run. In a second terminal:

    . %s
    mkdir hello && cd hello && git init && git commit --allow-empty -m "first"
    peer init hello && git push -u origin HEAD
    peer repo show hello

End one with kill -9 and push again. Ctrl-C here ends them all; the network
stays in %s.
`, len(network.homes), shellQuote(filepath.Join(dir, "env")), dir)
}
