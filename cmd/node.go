package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"peer/node/control/pb"
)

// Limits of starting and stopping.
const (
	nodeStatusTimeout = 10 * time.Second
	nodeStopPatience  = 15 * time.Second
)

// running is a node that serves.
type running interface {
	// Wait returns when the node has ended: nil after Close, otherwise why.
	Wait() error
	// Close stops it in order and waits for it.
	Close() error
}

type nodeCmd struct {
	netFlags
	GrpcPort    portFlag `help:"Serve the control API there too: a port on loopback, 0 for a free one, or HOST:PORT." placeholder:"PORT"`
	GitPort     portFlag `help:"Serve repositories read-only over git:// there: a port on loopback, 0 for a free one, or HOST:PORT." placeholder:"PORT"`
	GitPush     bool     `help:"Take pushes on --git-port as well, under a key of its own that owners must allow."`
	HTTP        portFlag `name:"http" help:"Serve repositories read-only over http:// there, to git: a port on loopback, 0 for a free one, or HOST:PORT." placeholder:"PORT"`
	HTTPPush    bool     `name:"http-push" help:"Take pushes on --http as well, from this machine, under the key of --git-push."`
	HTTPName    []string `name:"http-name" help:"A name by which clients call --http, besides localhost and addresses; repeatable." placeholder:"NAME"`
	Stay        bool     `help:"Keep leading a group when a node comes back that should lead it rather."`
	Accept      []string `help:"Whose repositories to take when others ask: all, known (yours, and those of who has a petname), or owners; by default all in a closed network, known in an open one." placeholder:"WHO"`
	Room        sizeFlag `help:"How much all repositories may take, 20GB for instance; by default all of the disk." placeholder:"SIZE"`
	MaxRepoSize sizeFlag `help:"How much one repository may take, 2GB for instance; by default as much as all." placeholder:"SIZE"`
	ReposDir    string   `help:"Directory of the bare repositories; by default repos/ in the home." placeholder:"DIR"`
}

type bootstrapCmd struct{ netFlags }

// Run runs a node in the foreground.
func (c *nodeCmd) Run(ctx context.Context, a *app) error {
	return runNode(ctx, a, &c.netFlags, func(cfg *NodeConfig) error {
		cfg.GRPCAddr, cfg.GitAddr, cfg.GitPush, cfg.Stay = string(c.GrpcPort), string(c.GitPort), c.GitPush, c.Stay
		cfg.HTTPAddr, cfg.HTTPPush, cfg.HTTPNames = string(c.HTTP), c.HTTPPush, c.HTTPName
		cfg.RoomBytes, cfg.RepoBytesMax = int64(c.Room), int64(c.MaxRepoSize)
		err := c.checkPorts()
		if err != nil {
			return err
		}
		if cfg.Accept, err = parseAccept(cfg.Home, c.Accept, cfg.Secret != ""); err != nil || c.ReposDir == "" {
			return err
		}
		dir, err := filepath.Abs(c.ReposDir)
		cfg.ReposDir = dir
		return err
	})
}

// checkPorts says which flag lacks the port that it is about.
func (c *nodeCmd) checkPorts() error {
	if c.HTTP == "" && (c.HTTPPush || len(c.HTTPName) > 0) {
		return usage("add --http 0", "--http-push and --http-name without --http have nothing to be about")
	}
	if c.GitPush && c.GitPort == "" {
		return usage("add --git-port 0", "--git-push without --git-port has nothing to push to")
	}
	return nil
}

// Run runs a bootstrap node in the foreground.
func (c *bootstrapCmd) Run(ctx context.Context, a *app) error {
	return runNode(ctx, a, &c.netFlags, func(cfg *NodeConfig) error {
		cfg.Bootstrap = true
		return nil
	})
}

func runNode(ctx context.Context, a *app, f *netFlags, complete func(*NodeConfig) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	if f.ParentFd > 0 {
		var cancel context.CancelFunc
		ctx, cancel = untilClosed(ctx, f.ParentFd)
		defer cancel()
	}
	cfg, err := f.config(home, a.errs)
	if err == nil {
		err = complete(&cfg)
	}
	if err != nil {
		return err
	}
	lock, err := home.Lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	// Saved at once, so that clients find the network even if this start fails.
	network := Network{Rendezvous: cfg.Rendezvous, Secret: cfg.Secret, Peers: cfg.Peers}
	if err := network.Save(home.NetworkPath()); err != nil {
		return err
	}
	node, err := a.start(ctx, cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		return hinted(fmt.Errorf("start node: %w", err), "stop the process that holds the port, or choose another one (0 takes any that is free)")
	}
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	if err := announce(ctx, a.out, home); err != nil {
		return errors.Join(err, node.Close())
	}
	if err := notifyReady(); err != nil {
		warn(a.errs, "%v", err)
	}
	return attend(ctx, node, cfg.Log)
}

// announce says on out where the node listens, and then "ready". It asks the
// node through its socket, so it is true by then.
func announce(ctx context.Context, out io.Writer, home *Home) error {
	ctx, cancel := context.WithTimeout(ctx, nodeStatusTimeout)
	defer cancel()
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	status, err := node.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return fmt.Errorf("ask the node how it is: %w", err)
	}
	fmt.Fprintf(out, "peer ID  %s\nhome     %s\n", status.GetPeerId(), home.Dir)
	for _, addr := range status.GetAddrs() {
		fmt.Fprintf(out, "address  %s\n", addr)
	}
	if addr := status.GetGrpcAddr(); addr != "" {
		fmt.Fprintf(out, "gRPC     %s\n", addr)
	}
	if addr := status.GetGitAddr(); addr != "" {
		fmt.Fprintf(out, "git      git://%s/\n", addr)
	}
	if addr := status.GetHttpAddr(); addr != "" {
		fmt.Fprintf(out, "git      http://%s/\n", addr)
	}
	_, err = fmt.Fprintln(out, "ready")
	return err
}

// attend waits until the node ends, or ctx does and then ends it.
func attend(ctx context.Context, node running, log *slog.Logger) error {
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	select {
	case err := <-ended:
		return cmp.Or(err, node.Close())
	case <-ctx.Done():
	}
	log.Info("stopping")
	closed := make(chan error, 1)
	go func() { closed <- node.Close() }()
	select {
	case err := <-closed:
		return cmp.Or(err, <-ended)
	case <-time.After(nodeStopPatience):
		return fmt.Errorf("the node did not stop within %s; what it acknowledged is on disk", nodeStopPatience)
	}
}

// untilClosed ends the context when the other end of the pipe fd is closed,
// which it is when the process that has it ends, in whatever way. Its goroutine
// sits in a read that nothing else ends, and goes with the process.
func untilClosed(ctx context.Context, fd int) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	syscall.CloseOnExec(fd) // git must not inherit it
	pipe := os.NewFile(uintptr(fd), "parent")
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		cancel()
	}()
	return ctx, cancel
}
