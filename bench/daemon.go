package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// daemon is a child process that serves until it is stopped.
type daemon struct {
	name   string
	cmd    *exec.Cmd
	log    string
	ready  chan struct{} // closed at the line "ready"
	ended  chan struct{} // closed when the process has been waited for
	cancel context.CancelFunc
	waiter sync.WaitGroup
}

const (
	readyTimeout = 90 * time.Second
	stopPatience = 15 * time.Second // from SIGTERM to SIGKILL; peer dev gives its nodes 5 s
)

// start starts a daemon. It ends by stop, or with this process, however that
// ends; not with ctx, which may be that of one round.
func (b *bench) start(ctx context.Context, name string, env []string, args ...string) (*daemon, error) {
	log, err := os.CreateTemp(b.work, name+"-*.log")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d := &daemon{name: name, log: log.Name(), ready: make(chan struct{}), ended: make(chan struct{}), cancel: cancel}
	d.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	d.cmd.Dir, d.cmd.Env = b.work, b.environment(env)
	d.cmd.Stdout, d.cmd.Stderr = &readyWatch{to: log, ready: d.ready}, log
	d.cmd.SysProcAttr = dieWithParent(&syscall.SysProcAttr{Setpgid: true})
	d.cmd.Cancel = func() error { return d.cmd.Process.Signal(syscall.SIGTERM) }
	d.cmd.WaitDelay = stopPatience
	if err := d.cmd.Start(); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), log.Close())
	}
	d.waiter.Go(func() {
		_ = d.cmd.Wait() // how it ended is in its log, and seldom of interest
		_ = log.Close()
		close(d.ended)
	})
	return d, nil
}

func (d *daemon) pid() int { return d.cmd.Process.Pid }

// awaitReady waits until the daemon has said that it serves.
func (d *daemon) awaitReady(ctx context.Context) error {
	select {
	case <-d.ready:
		return nil
	case <-d.ended:
		return fmt.Errorf("%s ended before it was ready: %s", d.name, d.lastWords())
	case <-time.After(readyTimeout):
		return fmt.Errorf("%s was not ready after %v: %s", d.name, readyTimeout, d.lastWords())
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop ends the daemon in order and waits for it.
func (d *daemon) stop() {
	d.cancel()
	d.waiter.Wait()
}

func (d *daemon) lastWords() string {
	const bytesMax = 64 << 10
	raw, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	return lastLine(string(raw[max(0, len(raw)-bytesMax):]))
}

// readyWatch passes on what a daemon prints and closes ready at the line "ready".
type readyWatch struct {
	to    io.Writer
	ready chan struct{}
	once  sync.Once
	line  []byte
}

func (w *readyWatch) Write(data []byte) (int, error) {
	w.line = append(w.line, data...)
	for {
		line, rest, whole := bytes.Cut(w.line, []byte("\n"))
		if !whole {
			return w.to.Write(data)
		}
		if w.line = rest; string(line) == "ready" {
			w.once.Do(func() { close(w.ready) })
		}
	}
}
