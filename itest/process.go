package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"peer/itest/internal/people"
)

const (
	readyTimeout = 30 * time.Second
	// stopPatience is from SIGTERM to SIGKILL.
	stopPatience = 10 * time.Second
)

// node is a member of the cluster. It is controlled by one goroutine at a time.
type node struct {
	c      *cluster
	name   string // node1, node2, …
	number int    // 0, 1, …
	home   string
	peerID string
	port   int
	// gitPort serves git://, at every start the same.
	gitPort int
	log     string // path of all that it printed, over all its starts
	user    *person

	proc     *process // of the last start; nil before the first
	sessions []int    // of all starts, as the system numbers them
}

// process is one run of a node.
type process struct {
	cmd   *exec.Cmd
	ready chan struct{} // closed when it said so
	ended chan struct{} // closed when it has been waited for
	err   error         // then: how
}

// host is the node's address.
func (n *node) host() string {
	if n.c.board == nil {
		return "127.0.0.1"
	}
	return n.c.board.host(n.number)
}

func (n *node) listens() string { return fmt.Sprintf("/ip4/%s/tcp/%d", n.host(), n.port) }

// within is a command as it runs at node i's plug, or at that of people for -1.
func (c *cluster) within(i int, command ...string) []string {
	if c.board == nil {
		return command
	}
	return append(c.board.within(i), command...)
}

// start runs the node, with env on top of its own, and does not wait for it.
func (n *node) start(env ...string) error {
	if n.runs() {
		return fmt.Errorf("%s runs already", n.name)
	}
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "---- %s: start %v\n", time.Now().Format(time.StampMilli), env)
	p := &process{ready: make(chan struct{}), ended: make(chan struct{})}
	// The node ends by itself when the other end of the lifeline closes, which it
	// does in whatever way this process ends.
	args := n.c.within(n.number, n.c.peer(), "--home", n.home, "node", "--parent-fd", "3", "--log-level", n.c.logLevel)
	p.cmd = exec.CommandContext(context.Background(), args[0], args[1:]...)
	p.cmd.ExtraFiles = []*os.File{n.c.lifeline}
	p.cmd.Env = slices.Concat(n.c.baseEnv(), people.Environment(n.c.dir), n.c.nodeEnv, env)
	p.cmd.Dir = n.c.dir
	p.cmd.Stdout = &readyWriter{to: log, ready: p.ready}
	p.cmd.Stderr = log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	n.proc, n.sessions = p, append(n.sessions, p.cmd.Process.Pid)
	n.c.waiters.Go(func() {
		p.err = p.cmd.Wait()
		fmt.Fprintf(log, "---- %s: ended: %v\n", time.Now().Format(time.StampMilli), p.err)
		_ = log.Close()
		close(p.ended)
	})
	return nil
}

// awaitReady waits until the node serves.
func (n *node) awaitReady() error {
	select {
	case <-n.proc.ready:
		return nil
	case <-n.proc.ended:
		return fmt.Errorf("%s ended before it was ready: %w\n%s", n.name, n.proc.err, tail(n.log, 10))
	case <-time.After(readyTimeout):
		return fmt.Errorf("%s is not ready after %v\n%s", n.name, readyTimeout, tail(n.log, 10))
	}
}

// restart starts the node, after killing it if it runs, and waits until it serves.
func (n *node) restart(env ...string) error {
	if err := n.kill(); err != nil {
		return err
	}
	if err := n.start(env...); err != nil {
		return err
	}
	return n.awaitReady()
}

func (n *node) runs() bool {
	if n.proc == nil {
		return false
	}
	select {
	case <-n.proc.ended:
		return false
	default:
		return true
	}
}

func (n *node) pid() int { return n.proc.cmd.Process.Pid }

// signal sends one signal to the node alone.
func (n *node) signal(sig syscall.Signal) error { return n.proc.cmd.Process.Signal(sig) }

// kill ends the node with SIGKILL, as a crash does, and waits for it, not for its
// children: it may be back before the last of them has ended.
func (n *node) kill() error {
	if !n.runs() {
		return nil
	}
	if err := n.signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return n.awaitEnd(stopPatience)
}

// stop ends the node in order.
func (n *node) stop() error {
	if !n.runs() {
		return nil
	}
	if err := n.signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := n.awaitEnd(stopPatience); err != nil {
		return errors.Join(err, n.kill())
	}
	return nil
}

// awaitEnd waits until the process has ended by itself, or was ended.
func (n *node) awaitEnd(timeout time.Duration) error {
	select {
	case <-n.proc.ended:
		return nil
	case <-time.After(timeout):
		return fmt.Errorf("%s has not ended after %v", n.name, timeout)
	}
}

// killed says whether the last run ended by SIGKILL.
func (n *node) killed() bool {
	status, ok := n.proc.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// readyWriter passes on what a node prints and closes ready at the line "ready".
type readyWriter struct {
	to    *os.File
	ready chan struct{}
	once  sync.Once
	line  []byte
}

func (w *readyWriter) Write(data []byte) (int, error) {
	w.line = append(w.line, data...)
	for {
		line, rest, whole := bytes.Cut(w.line, []byte("\n"))
		if !whole {
			break
		}
		if string(line) == "ready" {
			w.once.Do(func() { close(w.ready) })
		}
		w.line = rest
	}
	return w.to.Write(data)
}

// tail is the end of a log file.
func tail(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	list := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
	return string(bytes.Join(list[max(0, len(list)-lines):], []byte("\n")))
}

// pidOf reads the peer.pid of a home.
func pidOf(home string) (int, error) {
	raw, err := os.ReadFile(filepath.Join(home, "peer.pid"))
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(bytes.TrimSpace(raw)))
}
