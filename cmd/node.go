package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/multiformats/go-multiaddr"

	"peer/identity"
	"peer/node/control/pb"
)

// Limits of starting and stopping.
const (
	nodeStatusTimeout = 10 * time.Second
	nodeStopPatience  = 15 * time.Second
)

// NodeConfig is all that a command line says about a node.
type NodeConfig struct {
	Home       *Home // locked by the caller
	Key        identity.Key
	Rendezvous string
	Secret     string   // empty: an open network
	Peers      []string // multiaddrs with /p2p/ID: those of the flags, then those last seen
	Listen     []string // multiaddrs; empty: the transport's default
	GRPCAddr   string   // host:port, port 0 for a free one; empty: none
	GitAddr    string   // likewise
	GitPush    bool     // the git daemon takes pushes, on loopback
	ReposDir   string
	MDNS       bool
	Relay      bool
	NAT        bool // ask others whether this node can be dialled, and punch holes
	Bootstrap  bool // holds no repositories: it only helps others to find each other
	Log        *slog.Logger
}

// running is a node that serves.
type running interface {
	// Wait returns when the node has ended: nil after Close, otherwise why.
	Wait() error
	// Close stops it in order and waits for it.
	Close() error
}

// netFlags are the flags of every command that runs a node.
type netFlags struct {
	Rendezvous string   `help:"Name of the network; by default the last one, at first 'meet me here'." placeholder:"NAME"`
	Secret     string   `help:"Close the network to those who do not have this secret; TCP only." placeholder:"SECRET"`
	Peer       []string `help:"Address of a node of the network, ending in /p2p/ID; repeatable." placeholder:"ADDR"`
	Listen     []string `help:"Address to listen on, /ip4/0.0.0.0/tcp/4001 for instance; repeatable." placeholder:"ADDR"`
	PrivKey    string   `help:"Private key to use; the home keeps a link to it." placeholder:"FILE"`
	Mdns       bool     `help:"Find nodes on the local network by multicast." negatable:""`
	Relay      bool     `help:"Be reached through others, and help others to be." negatable:"" default:"true"`
	Nat        bool     `help:"Ask others whether this node can be dialled, and punch holes." negatable:"" default:"true"`
	LogLevel   string   `help:"Least level to log: debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	ParentFd   int      `hidden:"" env:"-"` // ends this node when the other end of this pipe closes
}

type nodeCmd struct {
	netFlags
	GrpcPort portFlag `help:"Serve the control API there too: a port on loopback, 0 for a free one, or HOST:PORT." placeholder:"PORT"`
	GitPort  portFlag `help:"Serve repositories read-only over git:// there: a port on loopback, 0 for a free one, or HOST:PORT." placeholder:"PORT"`
	GitPush  bool     `help:"Take pushes on --git-port as well, under a key of its own that owners must allow."`
	ReposDir string   `help:"Directory of the bare repositories; by default repos/ in the home." placeholder:"DIR"`
}

type bootstrapCmd struct{ netFlags }

// Run runs a node in the foreground.
func (c *nodeCmd) Run(ctx context.Context, a *app) error {
	return runNode(ctx, a, &c.netFlags, func(cfg *NodeConfig) error {
		cfg.GRPCAddr, cfg.GitAddr, cfg.GitPush = string(c.GrpcPort), string(c.GitPort), c.GitPush
		if c.GitPush && c.GitPort == "" {
			return usage("add --git-port 0", "--git-push without --git-port has nothing to push to")
		}
		if c.ReposDir == "" {
			return nil
		}
		dir, err := filepath.Abs(c.ReposDir)
		cfg.ReposDir = dir
		return err
	})
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
	if err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	if err := announce(ctx, a.out, home); err != nil {
		return errors.Join(err, node.Close())
	}
	return attend(ctx, node, cfg.Log)
}

// config checks the flags before anything is started.
func (f *netFlags) config(home *Home, logTo io.Writer) (NodeConfig, error) {
	if err := checkAddrs("--peer", f.Peer, true); err != nil {
		return NodeConfig{}, err
	}
	if err := checkAddrs("--listen", f.Listen, false); err != nil {
		return NodeConfig{}, err
	}
	if f.PrivKey != "" {
		if err := home.AdoptKey(f.PrivKey); err != nil {
			return NodeConfig{}, err
		}
	}
	key, err := home.Key()
	if err != nil {
		return NodeConfig{}, err
	}
	saved, err := LoadNetwork(home.NetworkPath())
	if err != nil {
		return NodeConfig{}, err
	}
	cfg := NodeConfig{
		Home:       home,
		Key:        key,
		Rendezvous: firstSet(f.Rendezvous, saved.Rendezvous, DefaultRendezvous),
		Secret:     firstSet(f.Secret, saved.Secret),
		Listen:     f.Listen,
		ReposDir:   home.ReposPath(),
		MDNS:       f.Mdns,
		Relay:      f.Relay,
		NAT:        f.Nat,
		Log:        newLogger(logTo, f.LogLevel),
	}
	if cfg.Rendezvous != saved.Rendezvous || cfg.Secret != saved.Secret {
		saved.Peers = nil // they are of another network
	}
	cfg.Peers = firstOfEach(slices.Concat(f.Peer, saved.Peers))
	return cfg, nil
}

func checkAddrs(flag string, addrs []string, withID bool) error {
	for _, addr := range addrs {
		parsed, err := multiaddr.NewMultiaddr(addr)
		if err != nil {
			return usage("addresses look like /ip4/192.0.2.1/tcp/4001", "%s: %w", flag, err)
		}
		if _, err := parsed.ValueForProtocol(multiaddr.P_P2P); err != nil && withID {
			return usage("take it from 'peer status' over there", "%s %.200s does not end in /p2p/ID", flag, addr)
		}
	}
	return nil
}

// newLogger logs text on w.
func newLogger(w io.Writer, level string) *slog.Logger {
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		panic(err) // kong has checked it
	}
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: least}))
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
	_, err = fmt.Fprintln(out, "ready")
	return err
}

// attend waits until the node ends, or ctx does and then ends it.
func attend(ctx context.Context, node running, log *slog.Logger) error {
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	select {
	case err := <-ended:
		return errors.Join(err, node.Close())
	case <-ctx.Done():
	}
	log.Info("stopping")
	closed := make(chan error, 1)
	go func() { closed <- node.Close() }()
	select {
	case err := <-closed:
		<-ended
		return err
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
