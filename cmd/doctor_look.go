package cmd

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/multiformats/go-multiaddr"
	"golang.org/x/sys/unix"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
)

const (
	// doctorReposMax is how many repositories are asked about, one after another.
	doctorReposMax = 20
	reachTimeout   = 10 * time.Second
)

// keyFound is a private key, or the public one of an agent's.
type keyFound struct {
	path string
	mode fs.FileMode
	err  error // it can't be read, or is none
}

// portTried is an address that the flags name, and what came of listening there.
type portTried struct {
	addr, port string
	err        error
}

type diskFound struct {
	dir  string
	free int64 // bytes; negative: nobody can tell
}

// examined is all that is known about this machine, its home, and its node.
type examined struct {
	now     time.Time
	built   time.Time // of the source; zero: unknown
	version string    // of this program

	git        git.Version
	gitErr     error
	exe        string // this binary
	helper     string // what git starts for peer://; empty: nothing
	helperSame bool

	dir       string // the home
	homeErr   error
	writeErr  error
	homeOwner string // empty: whoever asks
	keys      []keyFound
	keyPath   string
	self      identity.PeerID
	used      bool    // a node has run in the home
	files     []error // what is wrong with them

	node    *pb.StatusReply // nil: none answers
	nodeErr error
	pid     int  // that the last node left; 0: it tidied up
	locked  bool // a process has the home

	ports     []portTried
	network   Network
	bootstrap []string // addresses that flags name
	connected []string // peer IDs
	reachErr  error    // nobody could be asked who is connected

	newest   time.Time // of all entries looked at
	newestIn string    // the repository

	disks    []diskFound
	filesMax uint64
	reasons  map[string][]*pb.Reason // by repository ID, of those that ail
}

// examine looks at everything, and changes nothing. What can't be found out is a finding.
func (a *app) examine(ctx context.Context) (*examined, error) {
	dir, err := homeDir(a.flags.Home)
	if err != nil {
		return nil, err
	}
	home := &Home{Dir: dir}
	flags, flagsErr := nodeFlags(dir)
	e := &examined{
		now: time.Now(), built: sourceTime(), version: Version(), dir: dir, keyPath: home.KeyPath(),
		bootstrap: flags.Peer, reasons: map[string][]*pb.Reason{},
	}
	e.git, e.gitErr = git.InstalledVersion(ctx)
	if e.exe, err = executable(); err != nil {
		return nil, err
	}
	e.helper, e.helperSame = findHelper(e.exe)
	e.lookAtHome(home)
	e.lookAtFiles(home, flagsErr)
	repos := firstSet(flags.ReposDir, home.ReposPath())
	for _, d := range []string{dir, repos} {
		if found := (diskFound{d, node.FreeBytes(existing(d))}); len(e.disks) == 0 || found.free != e.disks[0].free {
			e.disks = append(e.disks, found)
		}
	}
	e.lookAtNode(ctx, home)
	if e.node == nil && !e.locked {
		e.ports = tryPorts(ctx, flags)
	}
	e.filesMax = openFilesMax(e.pid, e.node != nil)
	return e, nil
}

// nodeFlags are those that peer node would have in this environment, and what is wrong with them.
func nodeFlags(dir string) (*nodeCmd, error) {
	g := new(grammar)
	parser, err := newParser(g, io.Discard, io.Discard, func(int) {})
	if err != nil {
		return &g.Node, err
	}
	if _, err := parser.Parse([]string{"--home", dir, "node"}); err != nil {
		return &g.Node, explainParse(err)
	}
	return &g.Node, errors.Join(g.Node.check(), g.Node.checkPorts())
}

// existing is the nearest directory above path that is there.
func existing(path string) string {
	for _, err := os.Stat(path); err != nil && path != filepath.Dir(path); _, err = os.Stat(path) {
		path = filepath.Dir(path)
	}
	return path
}

func (e *examined) lookAtHome(home *Home) {
	info, err := os.Stat(home.Dir)
	if err != nil {
		e.homeErr = err
		return
	}
	if !info.IsDir() {
		e.homeErr = &fs.PathError{Op: "open home", Path: home.Dir, Err: syscall.ENOTDIR}
		return
	}
	if err := home.readFormat(); !errors.Is(err, fs.ErrNotExist) {
		e.homeErr = err
	}
	e.writeErr = unix.Access(home.Dir, unix.W_OK|unix.X_OK)
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
		e.homeOwner = strconv.Itoa(int(st.Uid))
		if u, err := user.LookupId(e.homeOwner); err == nil {
			e.homeOwner = u.Username
		}
	}
	_, err = os.Stat(home.StorePath())
	e.used = err == nil
	e.lookAtKeys(home)
}

// lookAtKeys draws none, as Home.Key does.
func (e *examined) lookAtKeys(home *Home) {
	info, err := os.Stat(home.KeyPath())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	node := keyFound{path: home.KeyPath(), err: err}
	if err == nil {
		node.mode = info.Mode().Perm()
		key, err := identity.LoadKey(home.KeyPath())
		if node.err = err; err == nil {
			e.self = key.PeerID()
		}
	}
	if e.keys = append(e.keys, node); node.err != nil {
		return
	}
	if info, err := os.Stat(home.GitdKeyPath()); err == nil {
		e.keys = append(e.keys, keyFound{path: home.GitdKeyPath(), mode: info.Mode().Perm()})
	}
	u, err := home.userKey()
	if u.Place == inNode {
		return
	}
	mine := keyFound{path: u.Path, err: err}
	if info, err := os.Stat(u.Path); err == nil && u.Place != inAgent {
		mine.mode = info.Mode().Perm()
	}
	e.keys = append(e.keys, mine)
}

func (e *examined) lookAtFiles(home *Home, flagsErr error) {
	var err error
	if e.network, err = home.Network(); err == nil {
		err = flagsErr // which says the same of the config file, with the flag's name
	} else if flagsErr != nil && exitCode(err) == exitUsage {
		err = flagsErr
	}
	_, aliasesErr := home.Aliases()
	_, formerErr := home.former()
	_, mirrorsErr := home.mirrors()
	for _, err := range []error{err, pins{home.Dir}.check(), aliasesErr, formerErr, mirrorsErr} {
		if err != nil {
			e.files = append(e.files, err)
		}
	}
}

// lookAtNode asks the node of the home, or where none runs the others of its network.
func (e *examined) lookAtNode(ctx context.Context, home *Home) {
	e.pid, _ = home.PID()
	c, err := home.Dial(ctx)
	if err == nil {
		defer c.Close()
		asked, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		e.node, err = c.Status(asked, &pb.StatusRequest{})
	}
	if e.nodeErr = err; err != nil {
		e.node = nil
		e.locked = e.pid > 0 && isLocked(home)
		e.lookAround(ctx, home)
		return
	}
	for _, p := range e.node.GetPeers() {
		e.connected = append(e.connected, p.GetPeerId())
	}
	e.lookAtRepos(ctx, c)
}

// isLocked takes the lock for an instant: a node that starts just then may have to be
// started again. So nobody asks while all looks as it should.
func isLocked(home *Home) bool {
	file, err := flock(home.path("lock"), false)
	if err == nil {
		file.Close()
	}
	return errors.Is(err, syscall.EWOULDBLOCK)
}

// lookAround sees whether any node of the network answers, under a key of nobody's.
func (e *examined) lookAround(ctx context.Context, home *Home) {
	if len(e.others()) == 0 {
		return
	}
	key, err := identity.NewKey()
	if err != nil {
		e.reachErr = err
		return
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	alone, err := dialLone(ctx, home, key)
	if err != nil {
		e.reachErr = err
		return
	}
	defer alone.Close()
	_ = alone.transport.Ready(ctx) // who is connected says it
	for _, id := range alone.transport.Connected() {
		e.connected = append(e.connected, id.String())
	}
}

func (e *examined) lookAtRepos(ctx context.Context, c *control.Client) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for _, r := range e.node.GetRepos()[:min(doctorReposMax, len(e.node.GetRepos()))] {
		if ailing(r) {
			if why, err := c.Why(ctx, &pb.WhyRequest{Repo: r.GetId()}); err == nil {
				e.reasons[r.GetId()] = why.GetReasons()
			}
			continue
		}
		last, err := c.Log(ctx, &pb.LogRequest{Repo: r.GetId(), Count: 1})
		if err != nil {
			continue
		}
		for _, entry := range last.GetEntries() {
			if at := time.UnixMilli(entry.GetUnixMs()); at.After(e.newest) {
				e.newest, e.newestIn = at, r.GetName()
			}
		}
	}
}

// tryPorts listens for an instant where a node with these flags would.
func tryPorts(ctx context.Context, flags *nodeCmd) (tried []portTried) {
	listen := flags.Listen
	if flags.InvitePort != "" {
		listen = append(listen, onPort(flags.Listen, flags.InvitePort)...)
	}
	for _, text := range listen {
		if network, addr, ok := netAddr(text); ok {
			tried = append(tried, tryPort(ctx, network, addr)...)
		}
	}
	for _, addr := range []portFlag{flags.GrpcPort, flags.GitPort, flags.HTTP} {
		tried = append(tried, tryPort(ctx, "tcp", string(addr))...)
	}
	return tried
}

// tryPort does not try what any free port will do for.
func tryPort(ctx context.Context, network, addr string) []portTried {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return nil
	}
	var l io.Closer
	if network == "udp" {
		l, err = new(net.ListenConfig).ListenPacket(ctx, network, addr)
	} else {
		l, err = new(net.ListenConfig).Listen(ctx, network, addr)
	}
	if err == nil {
		err = l.Close()
	}
	return []portTried{{network + " " + addr, port, err}}
}

// netAddr is the IP address and port of a multiaddr.
func netAddr(text string) (network, addr string, ok bool) {
	m, err := multiaddr.NewMultiaddr(text)
	if err != nil {
		return "", "", false
	}
	ip, err := m.ValueForProtocol(multiaddr.P_IP4)
	if err != nil {
		ip, err = m.ValueForProtocol(multiaddr.P_IP6)
	}
	if err != nil {
		return "", "", false
	}
	for network, protocol := range map[string]int{"tcp": multiaddr.P_TCP, "udp": multiaddr.P_UDP} {
		if port, err := m.ValueForProtocol(protocol); err == nil {
			return network, net.JoinHostPort(ip, port), true
		}
	}
	return "", "", false
}

// openFilesMax is how many files the node may have open, or would: programs in Go raise
// the soft limit to the hard one when they start.
func openFilesMax(pid int, runs bool) uint64 {
	if runs {
		raw, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "limits"))
		if n, ok := parseLimits(string(raw)); err == nil && ok {
			return n
		}
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		return filesWanted // nobody can tell
	}
	return l.Max
}

// parseLimits finds the soft limit of open files in /proc/PID/limits.
func parseLimits(text string) (uint64, bool) {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				n, err := strconv.ParseUint(words[0], 10, 64)
				return n, err == nil
			}
		}
	}
	return 0, false
}

// sourceTime is when the source of this program was committed; zero where nobody noted it.
func sourceTime() time.Time {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return time.Time{}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" {
			at, _ := time.Parse(time.RFC3339, s.Value)
			return at
		}
	}
	return time.Time{}
}
