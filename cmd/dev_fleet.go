package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"peer/node/control/pb"
)

// fleet is the processes of a network. Each gets the read end of a pipe whose
// write end this process has: should this one be killed, they see it close.
type fleet struct {
	binary   string
	logLevel string
	errs     io.Writer

	nodes    []*devNode
	lifeline *os.File // the write end
	waiters  sync.WaitGroup
	saying   sync.Mutex
}

// devNode is one process.
type devNode struct {
	home  *Home
	child *exec.Cmd
	ended chan struct{} // closed when the process has ended
	how   error         // then
}

// logName is the file in a home that takes what the node prints.
const logName = "node.log"

func (f *fleet) start(homes []*Home) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	f.lifeline = write
	for _, home := range homes {
		if err := f.startOne(home, read); err != nil {
			return fmt.Errorf("start %s: %w", filepath.Base(home.Dir), err)
		}
	}
	return nil
}

func (f *fleet) startOne(home *Home, lifeline *os.File) error {
	log, err := os.OpenFile(home.path(logName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	n := &devNode{home: home, ended: make(chan struct{})}
	// It outlives every context here: stop ends it, first in order.
	n.child = exec.CommandContext(context.Background(), f.binary, "--home", home.Dir, "node", "--log-level", f.logLevel, "--parent-fd", "3")
	n.child.Stdout, n.child.Stderr = log, log
	n.child.ExtraFiles = []*os.File{lifeline}
	n.child.Env = withoutPeer(os.Environ())
	// A group of its own, so that Ctrl-C reaches this process alone.
	n.child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := n.child.Start(); err != nil {
		return err
	}
	f.nodes = append(f.nodes, n)
	f.waiters.Go(func() {
		n.how = n.child.Wait()
		close(n.ended)
	})
	return nil
}

// withoutPeer drops what would win over the homes' config files.
func withoutPeer(env []string) []string {
	var out []string
	for _, v := range env {
		if !strings.HasPrefix(v, "PEER_") {
			out = append(out, v)
		}
	}
	return out
}

// awaitReady returns when all nodes serve and have found each other.
func (f *fleet) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, devReadyTimeout, errors.New("it did not answer in time"))
	defer cancel()
	for _, n := range f.nodes {
		for !n.serves(ctx) {
			select {
			case <-n.ended:
				return f.failed(n, n.how)
			case <-ctx.Done():
				if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
					return f.failed(n, err)
				}
				return ctx.Err()
			case <-time.After(devPoll):
			}
		}
	}
	f.awaitMeeting(ctx)
	return ctx.Err()
}

// awaitMeeting gives the nodes some time to connect to each other, so that a
// repository made right after "ready" gets its replicas.
func (f *fleet) awaitMeeting(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, devMeetTimeout)
	defer cancel()
	for _, n := range f.nodes {
		for n.peers(ctx) < len(f.nodes)-1 {
			select {
			case <-time.After(devPoll):
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.DeadlineExceeded) {
					warn(f.errs, "the nodes have not all found each other yet; 'peer status' shows who has")
				}
				return
			}
		}
	}
}

func (n *devNode) serves(ctx context.Context) bool {
	node, err := n.home.Dial(ctx)
	if err != nil {
		return false
	}
	defer node.Close()
	_, err = node.Ping(ctx, &pb.PingRequest{})
	return err == nil
}

// peers is how many nodes n is connected to.
func (n *devNode) peers(ctx context.Context) int {
	node, err := n.home.Dial(ctx)
	if err != nil {
		return 0
	}
	defer node.Close()
	status, err := node.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return 0
	}
	ids := map[string]bool{}
	for _, p := range status.GetPeers() {
		ids[p.GetPeerId()] = true
	}
	return len(ids)
}

func (f *fleet) failed(n *devNode, why error) error {
	path := n.home.path(logName)
	return hinted(fmt.Errorf("%s did not start: %w\n%s", n.name(), why, lastLines(path, 5)), "all that it said: "+shellQuote(path))
}

func (n *devNode) name() string { return filepath.Base(n.home.Dir) }

// watch tells of nodes that end, until the context does.
func (f *fleet) watch(ctx context.Context) {
	var watchers sync.WaitGroup
	for _, n := range f.nodes {
		watchers.Go(func() {
			select {
			case <-n.ended:
				f.tellDeath(n)
			case <-ctx.Done():
			}
		})
	}
	<-ctx.Done()
	watchers.Wait()
}

func (f *fleet) tellDeath(n *devNode) {
	how := "it ended by itself"
	if n.how != nil {
		how = n.how.Error()
	}
	f.saying.Lock()
	defer f.saying.Unlock()
	fmt.Fprintf(f.errs, "peer: %s (process %d) has ended: %s\n", n.name(), n.child.Process.Pid, how)
	fmt.Fprintf(f.errs, "peer: hint: bring it back in another terminal: %s node --home %s\n", shellQuote(f.binary), shellQuote(n.home.Dir))
}

// stop ends all nodes, in order if they can, and waits for them.
func (f *fleet) stop() {
	for _, n := range f.nodes {
		_ = n.child.Process.Signal(syscall.SIGTERM) // fails where it has ended
	}
	deadline := time.After(devStopPatience)
	for _, n := range f.nodes {
		select {
		case <-n.ended:
			continue
		case <-deadline:
		}
		for _, late := range f.nodes {
			_ = late.child.Process.Kill()
		}
		break
	}
	f.waiters.Wait()
	if f.lifeline != nil {
		_ = f.lifeline.Close()
	}
}

// lastLines is the end of a log, for an error message.
func lastLines(path string, count int) string {
	const tailBytesMax = 4 << 10
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > tailBytesMax {
		_, _ = file.Seek(-tailBytesMax, io.SeekEnd)
	}
	raw, _ := io.ReadAll(io.LimitReader(file, tailBytesMax))
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
