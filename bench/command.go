package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// cost is what a command took.
type cost struct {
	wall time.Duration
	cpu  time.Duration // of the process and of all descendants that were waited for
}

// command is a child process that ends by itself.
type command struct {
	dir   string
	env   []string // on top of the bench's own environment
	args  []string // the program first
	stdin io.Reader
}

// killPatience is how long pipes may stay open after a command was killed.
const killPatience = 3 * time.Second

// run runs the command and returns what it printed. If the context ends, the
// command's whole process group is killed.
func (b *bench) run(ctx context.Context, c command) (string, cost, error) {
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Dir, cmd.Stdin = c.dir, c.stdin
	cmd.Env = b.environment(c.env)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = killPatience
	start := time.Now()
	err := cmd.Run()
	spent := cost{wall: time.Since(start)}
	if state := cmd.ProcessState; state != nil {
		spent.cpu = state.UserTime() + state.SystemTime()
	}
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, lastLine(stderr.String()))
		if cause := context.Cause(ctx); cause != nil {
			err = errors.Join(cause, err)
		}
	}
	return stdout.String(), spent, err
}

// git runs git in a directory, where only that it worked matters.
func (b *bench) git(ctx context.Context, dir string, args ...string) error {
	_, _, err := b.run(ctx, command{dir: dir, args: append([]string{"git"}, args...)})
	return err
}

// lastLine is the last thing that a program said which says something.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(lines[i], "error:") || strings.Contains(lines[i], "fatal:") {
			return lines[i]
		}
	}
	return lines[len(lines)-1]
}

// poll calls check every so often until it has nothing to object.
func poll(ctx context.Context, every, timeout time.Duration, check func() error) error {
	deadline := time.Now().Add(timeout)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not after %v: %w", timeout, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(every):
		}
	}
}
