package cmd

import (
	"io"
	"log/slog"
	"slices"
	"strconv"

	"github.com/multiformats/go-multiaddr"

	"peer/identity"
)

// NodeConfig is all that a command line says about a node.
type NodeConfig struct {
	Home         *Home        // locked by the caller
	Key          identity.Key // the node's
	User         *nodeUser
	Rendezvous   string
	Secret       string   // empty: an open network
	Peers        []string // multiaddrs with /p2p/ID: those of the flags, then those last seen
	Listen       []string // multiaddrs; empty: the transport's default
	GRPCAddr     string   // host:port, port 0 for a free one; empty: none
	GitAddr      string   // likewise
	GitPush      bool     // the git daemon takes pushes, on loopback
	HTTPAddr     string   // of the git daemon over HTTP, likewise
	HTTPPush     bool
	HTTPNames    []string // by which it is called
	Stay         bool     // a leader does not hand over to a better node that came back
	ReposDir     string
	Accept       accept // whose repositories it takes
	RoomBytes    int64  // how much they may take; 0: all of the disk
	RepoBytesMax int64  // how much one of them may; 0: as much as all
	MDNS         bool
	Relay        bool
	NAT          bool   // ask others whether this node can be dialled, and punch holes
	DoorPort     string // for guests with an invitation; empty: the last one, at first any free one
	Bootstrap    bool   // holds no repositories: it only helps others to find each other
	Log          *slog.Logger
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
	InvitePort string   `help:"Port where guests with an invitation come in while there are any; by default a free one, and from then on that one." placeholder:"PORT"`
	ParentFd   int      `hidden:"" env:"-"` // ends this node when the other end of this pipe closes
}

// config checks the flags before anything is started.
func (f *netFlags) config(home *Home, logTo io.Writer) (NodeConfig, error) {
	if err := f.check(); err != nil {
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
	user, err := newNodeUser(home)
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
		User:       user,
		Rendezvous: firstSet(f.Rendezvous, saved.Rendezvous, DefaultRendezvous),
		Secret:     firstSet(f.Secret, saved.Secret),
		Listen:     f.Listen,
		ReposDir:   home.ReposPath(),
		MDNS:       f.Mdns,
		Relay:      f.Relay,
		NAT:        f.Nat,
		DoorPort:   f.InvitePort,
		Log:        newLogger(logTo, f.LogLevel),
	}
	if cfg.Rendezvous != saved.Rendezvous || cfg.Secret != saved.Secret {
		saved.Peers = nil // they are of another network
	}
	cfg.Peers = firstOfEach(slices.Concat(f.Peer, saved.Peers))
	return cfg, nil
}

// check says which flag makes no sense. It looks at nothing but the flags.
func (f *netFlags) check() error {
	if err := checkAddrs("--peer", f.Peer, true); err != nil {
		return err
	}
	if err := checkAddrs("--listen", f.Listen, false); err != nil {
		return err
	}
	if f.InvitePort != "" {
		if _, err := strconv.ParseUint(f.InvitePort, 10, 16); err != nil {
			return usage("--invite-port 4002, for instance", "--invite-port: want a port, not %.40q", f.InvitePort)
		}
	}
	return nil
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
