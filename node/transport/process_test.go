package transport

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"peer/identity"
)

// TestMain doubles as a node in a process of its own, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv("TRANSPORT_TEST_CHILD") != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

func child() {
	key, err := identity.NewKey()
	if err != nil {
		panic(err)
	}
	tr, err := New(context.Background(), Config{
		Key: key, Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Server: true,
		Rendezvous: os.Getenv("TRANSPORT_TEST_CHILD"), Bootstrap: strings.Fields(os.Getenv("TRANSPORT_TEST_BOOT")),
	})
	if err != nil {
		panic(err)
	}
	tr.Handle("echo/1", echo)
	fmt.Println(tr.Addrs()[0])
	_, _ = io.Copy(io.Discard, os.Stdin) // until the parent is gone
	tr.Close()
}

type process struct {
	cmd    *exec.Cmd
	stderr syncBuffer
	id     identity.PeerID
	addr   string
}

func spawn(t *testing.T, rendezvous string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "TRANSPORT_TEST_CHILD="+rendezvous)
	p.cmd.Stderr = &p.stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("child: %v: %s", err, p.stderr.String())
	}
	p.addr = strings.TrimSpace(line)
	_, id, _ := strings.Cut(p.addr, "/p2p/")
	if p.id, err = identity.ParsePeerID(id); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestKilledProcess(t *testing.T) {
	a := start(t, config(t))
	p := spawn(t, a.cfg.Rendezvous)
	a.AddAddrs(p.id, []string{p.addr})
	seen := watch(a, p.id)
	if err := a.Connect(t.Context(), p.id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected is reported", seen.are(true))

	begin := time.Now()
	_ = p.cmd.Process.Kill()
	eventually(t, "dropped is reported", seen.are(true, false))
	dropped := seen.last().Sub(begin)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	redial := time.Now()
	if err := a.Redial(ctx, p.id); err == nil {
		t.Error("redial of a killed process succeeded")
	}
	t.Logf("killed -> dropped %v, redial refused after %v", dropped, time.Since(redial))
	if dropped > 500*time.Millisecond {
		t.Errorf("dropped only after %v", dropped)
	}
	if s := p.stderr.String(); s != "" {
		t.Errorf("the process wrote to stderr: %s", s)
	}
}

// A stopped process keeps its connections; only an unanswered question tells.
func TestStoppedProcess(t *testing.T) {
	a := start(t, config(t, func(c *Config) { c.KeepAlive, c.WriteTimeout = time.Second, time.Second }))
	p := spawn(t, a.cfg.Rendezvous)
	a.AddAddrs(p.id, []string{p.addr})
	seen := watch(a, p.id)
	if err := a.Connect(t.Context(), p.id); err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected is reported", seen.are(true))
	begin := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process has stopped", func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		return err == nil && strings.Contains(string(stat), ") T ")
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := a.Redial(ctx, p.id); err == nil {
		t.Error("a stopped process answered")
	}
	if !a.IsConnected(p.id) {
		t.Error("the connection is gone before the keepalive could miss it")
	}
	eventually(t, "the keepalive gives up", seen.are(true, false))
	t.Logf("stopped -> dropped after %v, keepalive %v and write timeout %v", seen.last().Sub(begin), a.cfg.KeepAlive, a.cfg.WriteTimeout)
}
