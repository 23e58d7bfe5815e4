package container

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"

	"peer/itest/internal/people"
)

// machine is a container in the cluster's network.
type machine struct {
	c    *cluster
	name string
	ip   netip.Addr // in the inner network, for ever
	ctr  testcontainers.Container
	runs atomic.Int64 // commands so far

	// What was done to it, by one goroutine at a time.
	down, paused bool
}

// Users inside a machine.
const (
	asPeer = "peer"
	asRoot = "root"
)

func (m *machine) id() string { return m.ctr.GetContainerID() }

// Test implements [people.Place].
func (m *machine) Test() testing.TB { return m.c.t }

// Run implements [people.Place]. The command leads a session, so that all it
// started can be ended with it.
func (m *machine) Run(ctx context.Context, what people.Command) people.Result {
	note := fmt.Sprintf("/tmp/run-%d", m.runs.Add(1))
	what.Args = append([]string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, note}, what.Args...)
	done := make(chan people.Result, 1)
	go func() { done <- m.exec(asPeer, what) }()
	select {
	case r := <-done:
		return r
	case <-ctx.Done():
	}
	m.exec(asPeer, people.Command{Args: []string{"sh", "-c", `kill -KILL -"$(cat "$0")"`, note}})
	select {
	case r := <-done:
		r.Code = -1
		return r
	case <-time.After(engineTimeout):
		return people.Result{Code: -1, Err: "the command does not end"}
	}
}

// WriteFile implements [people.Place].
func (m *machine) WriteFile(path string, data []byte) error {
	r := m.exec(asPeer, people.Command{Args: []string{"sh", "-c", `mkdir -p "${0%/*}" && cat >"$0"`, path}, Input: data})
	if r.Code != 0 {
		return fmt.Errorf("write %s at %s: %v", path, m.name, r)
	}
	return nil
}

// root runs a short command as root.
func (m *machine) root(input string, args ...string) error {
	r := m.exec(asRoot, people.Command{Args: append([]string{"timeout", "20"}, args...), Input: []byte(input)})
	if r.Code != 0 {
		return fmt.Errorf("%s at %s: %v", strings.Join(args, " "), m.name, r)
	}
	return nil
}

// exec runs a command to its end, or that of the machine.
func (m *machine) exec(user string, what people.Command) people.Result {
	r, err := m.attach(user, what)
	if err != nil {
		r.Code, r.Err = -1, r.Err+fmt.Sprintf("%s: %v", m.name, err)
	}
	return r
}

func (m *machine) attach(user string, what people.Command) (r people.Result, err error) {
	ctx := context.Background()
	made, err := docker.cli.ExecCreate(ctx, m.id(), client.ExecCreateOptions{
		User: user, Env: what.Env, WorkingDir: what.Dir, Cmd: what.Args,
		AttachStdin: what.Input != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return r, err
	}
	stream, err := docker.cli.ExecAttach(ctx, made.ID, client.ExecAttachOptions{})
	if err != nil {
		return r, err
	}
	defer stream.Close()
	if what.Input != nil {
		go func() {
			_, _ = stream.Conn.Write(what.Input) // who doesn't read it says so
			_ = stream.CloseWrite()
		}()
	}
	var out, errs bytes.Buffer
	_, err = stdcopy.StdCopy(&out, &errs, stream.Reader)
	r.Out, r.Err = out.String(), errs.String()
	if err != nil {
		return r, err
	}
	ended, err := docker.cli.ExecInspect(ctx, made.ID, client.ExecInspectOptions{})
	if err != nil {
		return r, err
	}
	if r.Code = ended.ExitCode; ended.Running { // the machine died under it
		r.Code = -1
	}
	return r, nil
}

// person is somebody at this machine, with a home that no node runs in. key is
// whose they are; nobody's, and they draw one.
func (m *machine) person(name string, key *identity) *people.Person {
	m.c.t.Helper()
	p := &people.Person{Place: m, Dir: "/people/" + name, Home: "/people/" + name + "/home"}
	if key != nil {
		p.Write("home/key", key.pem)
		return p
	}
	p.Write("home/config.json", []byte("{}"))
	return p
}

// kill ends all that runs on the machine at once. Its kernel says goodbye for it:
// connections are closed.
func (m *machine) kill() error {
	if m.down {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if _, err := docker.cli.ContainerKill(ctx, m.id(), client.ContainerKillOptions{Signal: "SIGKILL"}); err != nil {
		return fmt.Errorf("kill %s: %w", m.name, err)
	}
	m.down, m.paused = true, false
	return m.awaitEnd(ctx)
}

func (m *machine) awaitEnd(ctx context.Context) error {
	waiting := docker.cli.ContainerWait(ctx, m.id(), client.ContainerWaitOptions{})
	select {
	case err := <-waiting.Error:
		return fmt.Errorf("end of %s: %w", m.name, err)
	case <-waiting.Result:
		return nil
	}
}

// stop ends the machine in order, and returns with what code its program ended.
func (m *machine) stop() (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	patience := stopPatience
	if err := m.ctr.Stop(ctx, &patience); err != nil {
		return 0, fmt.Errorf("stop %s: %w", m.name, err)
	}
	return m.wait()
}

// wait waits until the machine's program has ended by itself, and returns with what code.
func (m *machine) wait() (code int, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if err := m.awaitEnd(ctx); err != nil {
		return 0, err
	}
	m.down = true
	state, err := m.ctr.State(ctx)
	if err != nil {
		return 0, err
	}
	return state.ExitCode, nil
}

// stopPatience is longer than the node's own.
const stopPatience = 20 * time.Second

// pause freezes the machine: its kernel still answers, its programs don't.
func (m *machine) pause() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	_, err := docker.cli.ContainerPause(ctx, m.id(), client.ContainerPauseOptions{})
	if err != nil {
		return fmt.Errorf("pause %s: %w", m.name, err)
	}
	m.paused = true
	return nil
}

// unpause lets it go on.
func (m *machine) unpause() error {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	if _, err := docker.cli.ContainerUnpause(ctx, m.id(), client.ContainerUnpauseOptions{}); err != nil {
		return fmt.Errorf("unpause %s: %w", m.name, err)
	}
	m.paused = false
	return m.c.dress(m)
}

// published is where a port of the machine is reached from outside. It is another
// one after each start.
func (m *machine) published(port int) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	return m.ctr.PortEndpoint(ctx, strconv.Itoa(port)+"/tcp", "")
}

// log is all that its program printed, over all its starts.
func (m *machine) log() string {
	ctx, cancel := context.WithTimeout(context.Background(), engineTimeout)
	defer cancel()
	stream, err := docker.cli.ContainerLogs(ctx, m.id(), client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true})
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	var out bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &out, stream); err != nil {
		fmt.Fprintln(&out, err)
	}
	return out.String()
}
