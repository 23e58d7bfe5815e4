package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// serveOn accepts connections of the git protocol, for tests to point real git
// at, and serves all of them from r.
func serveOn(t testing.TB, r *Repo, gate Gate) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ctx := testContext(t)
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { serveConn(ctx, t, r, gate, conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return "git://" + l.Addr().String() + "/r"
}

// serveConn reads the first line of the git protocol: command, path and extra
// parameters.
func serveConn(ctx context.Context, t testing.TB, r *Repo, gate Gate, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	header := make([]byte, 4)
	if _, err := io.ReadFull(conn, header); err != nil {
		return
	}
	_, n, err := parsePktHeader(header)
	if err != nil {
		t.Error(err)
		return
	}
	line := make([]byte, n-4)
	if _, err := io.ReadFull(conn, line); err != nil {
		t.Error(err)
		return
	}
	version := 0
	for v := 1; v <= 2; v++ {
		if bytes.Contains(line, fmt.Appendf(nil, "\x00version=%d\x00", v)) {
			version = v
		}
	}
	if bytes.HasPrefix(line, []byte("git-upload-archive ")) {
		err = r.UploadArchive(ctx, conn, conn, gate)
	} else {
		err = r.UploadPack(ctx, conn, conn, version, gate)
	}
	if err != nil {
		t.Logf("version %d: %v", version, err)
	}
}

// countedGate knows whether it is held.
type countedGate struct {
	sync.RWMutex
	mu    sync.Mutex
	held  int
	taken int
}

func (g *countedGate) RLock() {
	g.RWMutex.RLock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held++
	g.taken++
}

func (g *countedGate) RUnlock() {
	g.mu.Lock()
	g.held--
	g.mu.Unlock()
	g.RWMutex.RUnlock()
}

func (g *countedGate) state() (held, taken int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held, g.taken
}

func TestUploadPackServesGit(t *testing.T) {
	eachFormat(t, func(t *testing.T, f Format) {
		for version := range 3 {
			t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
				r, w := newRepo(t, f), newWork(t, f)
				w.commit("a.txt", "1")
				w.commit("b.txt", strings.Repeat("noise\n", 5000))
				tip := w.commit("a.txt", "2")
				publish(t, r, w.pack(tip), tip)
				gate := new(countedGate)
				url := serveOn(t, r, gate)
				git := func(dir string, args ...string) string {
					c := &work{t: t, dir: dir}
					return c.git(append([]string{"-c", fmt.Sprintf("protocol.version=%d", version)}, args...)...)
				}
				dir := t.TempDir()
				git(dir, "clone", "-q", url, "full")
				full := filepath.Join(dir, "full")
				if got := git(full, "rev-parse", "HEAD"); got != tip.String() {
					t.Errorf("cloned %s", got)
				}
				git(dir, "clone", "-q", "--depth=1", url, "shallow")
				if got := git(filepath.Join(dir, "shallow"), "rev-list", "--count", "HEAD"); got != "1" {
					t.Errorf("shallow clone has %s commits", got)
				}
				git(filepath.Join(dir, "shallow"), "fetch", "-q", "--unshallow")
				if version == 2 { // the others serve only what they list
					git(dir, "clone", "-q", "--filter=blob:none", url, "partial")
					git(filepath.Join(dir, "partial"), "log", "-p", "--all")
				}
				next := w.commit("a.txt", "3")
				publish(t, r, w.pack(next, tip), next)
				git(full, "pull", "-q", "--ff-only")
				if got := git(full, "rev-parse", "HEAD"); got != next.String() {
					t.Errorf("pulled %s", got)
				}
				git(full, "fsck", "--full")
				if held, taken := gate.state(); held != 0 || taken == 0 {
					t.Errorf("gate held %d times, taken %d times", held, taken)
				}
			})
		}
	})
}

// Many branches that have diverged make for rounds of negotiation.
func TestUploadPackNegotiates(t *testing.T) {
	for version := range 3 {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			r, w := newRepo(t, SHA1), newWork(t, SHA1)
			base := w.commit("a", "0")
			publish(t, r, w.pack(base), base)
			url := serveOn(t, r, new(countedGate))
			c := &work{t: t, dir: filepath.Join(t.TempDir(), "c")}
			w.git("-c", fmt.Sprintf("protocol.version=%d", version), "clone", "-q", url, c.dir)
			for i := range 60 {
				c.commit("mine", fmt.Sprint(i))
			}
			var tip OID
			for i := range 20 {
				tip = w.commit("theirs", fmt.Sprint(i))
			}
			publish(t, r, w.pack(tip, base), tip)
			c.git("-c", fmt.Sprintf("protocol.version=%d", version), "fetch", "-q", "origin")
			if got := c.oid("origin/main"); got != tip {
				t.Errorf("fetched %s", got)
			}
		})
	}
}

func TestUploadArchiveServesGit(t *testing.T) {
	r, w := newRepo(t, SHA1), newWork(t, SHA1)
	tip := w.commit("a.txt", "text")
	publish(t, r, w.pack(tip), tip)
	url := serveOn(t, r, new(countedGate))
	cmd := w.cmd("archive", "--remote="+url, "--format=tar", "main")
	out, err := cmd.Output()
	if err != nil || !bytes.Contains(out, []byte("a.txt")) {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// When git dies the client must be told at once, not when it next says something.
func TestUploadPackEndsWhenGitDies(t *testing.T) {
	for version := range 3 {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			r := newRepo(t, SHA1)
			if err := os.RemoveAll(r.path("objects")); err != nil {
				t.Fatal(err)
			}
			client, served := net.Pipe()
			defer client.Close()
			go func() { _, _ = io.Copy(io.Discard, client) }()
			err := r.UploadPack(testContext(t), served, served, version, new(countedGate))
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Code != 128 || exit.Stderr == "" {
				t.Errorf("got %v", err)
			}
			_ = served.Close()
		})
	}
}

func TestUploadPackRefusesBadRequests(t *testing.T) {
	r := newRepo(t, SHA1)
	for name, send := range map[string][]byte{
		"not pkt-lines":          []byte("GET / HTTP/1.1\r\n\r\n"),
		"unknown command":        v2Request("command=rm\n", "0000"),
		"two commands":           v2Request("command=ls-refs\n", "command=fetch\n", "0000"),
		"no command":             v2Request("agent=x\n", "0000"),
		"ends inside":            v2Request("command=ls-refs\n", "0001"),
		"ends inside a fetch":    v2Request("command=fetch\n", "0001", "want "+SHA1.Null()),
		"endless capabilities":   bytes.Repeat(v2Request("x="+strings.Repeat("y", 1000)), 100),
		"wants what is not here": v2Request("command=fetch", "0001", "want "+someOID(SHA1, 1).String(), "done", "0000"),
	} {
		t.Run(name, func(t *testing.T) {
			gate := new(countedGate)
			err := r.UploadPack(testContext(t), bytes.NewReader(send), io.Discard, 2, gate)
			if err == nil {
				t.Error("no error")
			}
			if held, _ := gate.state(); held != 0 {
				t.Error("gate held")
			}
		})
	}
	for name, send := range map[string][]byte{"nothing": nil, "a flush": []byte(FlushPkt)} {
		if err := r.UploadPack(testContext(t), bytes.NewReader(send), io.Discard, 2, new(countedGate)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNoChildOutlivesItsContext(t *testing.T) {
	r := newRepo(t, SHA1)
	ctx, cancel := context.WithCancel(testContext(t))
	client, served := net.Pipe()
	defer client.Close()
	ended := make(chan error, 1)
	c := &Command{Args: []string{"upload-pack", r.dir}}
	s, err := startServer(ctx, c, new(countedGate), false)
	if err != nil {
		t.Fatal(err)
	}
	pid := s.p.cmd.Process.Pid
	go func() { ended <- s.finish(s.tunnel(served, served)) }()
	if _, err := NewPktReader(client).Next(); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if out, err := exec.Command("ps", "-o", "pid=", "-g", fmt.Sprint(pid)).Output(); err == nil {
		t.Errorf("still there: %s", out)
	}
}
