package itest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"peer/itest/internal/content"
	"peer/itest/internal/people"
)

// TestBadInputNames tries names that must not become directories, arguments or URLs.
func TestBadInputNames(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	ann := c.at(0)
	c.create("taken")
	before := c.files("repos")
	for _, name := range []string{
		"", ".", "..", "a/b", "/abs", "../up", "-x", "--home=x", ".hidden", "a..b", "a.git", "a.lock", "a.", "a b", "a\tb", "a\nb", "a\x1b[31m", "a\x7f",
		"a:b", "a?b", "a*b", `a\b`, "a~1", "a^", "a@{1}", "a%2fb", "ünïcödé",
		"dem\u043e", // ends in a Cyrillic o
		"a\u200bb",  // holds a space of no width
		"a\u202eb",  // turns the writing direction
		strings.Repeat("x", 101), strings.Repeat("x", 100_000), strings.Repeat("a", 64), "taken", "TAKEN/",
	} {
		for _, args := range [][]string{{"init", "--", name}, {"repo", "show", "--", name}} {
			if name == "taken" && args[0] == "repo" {
				continue
			}
			wantError(t, ann.TryPeer(args...), "")
		}
		if r := ann.TryGit("", "ls-remote", "peer://me/"+name); name != "taken" && r.Code == 0 {
			t.Fatalf("%q: %v", name, r)
		}
	}
	if after := c.files("repos"); !slices.Equal(before, after) {
		t.Fatalf("refused names left files behind:\n%s\nbefore:\n%s", after, before)
	}
	if got := strings.Count(ann.Peer("repo", "ls"), "\n") + 1; got != 1 {
		t.Fatalf("%d repositories, and one was created", got)
	}
}

// wantError wants a failure that says what is wrong, in one error and for people.
func wantError(t *testing.T, r people.Result, says string) {
	t.Helper()
	line := r.Line
	if len(line) > 200 {
		line = line[:200]
	}
	switch {
	case r.Code == 0, r.Code == -1:
		t.Fatalf("%q: exit %d: %s%s", line, r.Code, r.Out, r.Err)
	case !strings.HasPrefix(r.Err, "peer: error: "), strings.Count(r.Err, "peer: error: ") != 1:
		t.Fatalf("%q: no error in our form: %s", line, r.Err)
	case !strings.Contains(r.Err, says):
		t.Fatalf("%q: does not say %q: %s", line, says, r.Err)
	case strings.Contains(r.Err, "goroutine "), strings.ContainsAny(r.Err, "\x1b\x7f"), len(r.Err) > 4000:
		t.Fatalf("%q: not for people: %.4000q", line, r.Err)
	}
}

// files lists what is below a directory of all homes, but for what comes and goes.
func (c *cluster) files(dir string) (list []string) {
	for _, n := range c.nodes {
		_ = filepath.WalkDir(filepath.Join(n.home, dir), func(path string, d os.DirEntry, err error) error {
			if err == nil && d.IsDir() && strings.HasSuffix(path, ".git") {
				list = append(list, path)
				return filepath.SkipDir
			}
			if err == nil && !d.IsDir() {
				list = append(list, path)
			}
			return nil
		})
	}
	return list
}

// TestBadInputFlags gives nonsense to the command line, the environment and the config file.
func TestBadInputFlags(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{nodes: 1})
	p := c.guest("spare", "")
	usage := 2
	for _, bad := range []struct {
		line string
		env  string
		says string
		code int
	}{
		{"", "", "", usage},
		{"nonsense", "", "nonsense", usage},
		{"node --nonsense", "", "--nonsense", usage},
		{"node surplus", "", "surplus", usage},
		{"node --listen nonsense", "", "--listen", usage},
		{"node --listen /ip4/127.0.0.1/tcp/99999", "", "--listen", usage},
		{"node --peer /ip4/127.0.0.1/tcp/1", "", "/p2p/", usage},
		{"node --peer", "", "--peer", usage},
		{"node --grpc-port 65536", "", "65535", usage},
		{"node --grpc-port x", "", "port", usage},
		{"node --git-port :8022", "", "address", usage},
		{"node --git-port -1 --git-push", "", "--git-port", usage},
		{"node --log-level loud", "", "log-level", usage},
		{"dev --nodes 99", "", "--nodes", usage},
		{"dev --nodes -1", "", "--nodes", usage},
		{"dev --nodes two", "", "--nodes", usage},
		{"init", "", "", usage},
		{"init a b", "", "b", usage},
		{"init a --replicas 2", "", "--replicas", usage},
		{"init a --replicas 1000001", "", "--replicas", usage},
		{"init a --object-format md5", "", "object-format", usage},
		{"init a --on nobody", "", "--on", usage},
		{"repo lock a --nonsense", "", "--nonsense", usage},
		{"clone", "", "", usage},
		{"id alias me did:key:x", "", "", usage},
		{"completion tcsh", "", "", usage},
		{"node", "PEER_LISTEN=nonsense", "listen", usage},
		{"node", "PEER_GRPC_PORT=x", "port", usage},
		{"node", "PEER_MDNS=perhaps", "mdns", usage},
		{"status", "", "no node runs", 3},
		{"repo ls", "", "no node runs", 3},
		{"init a", "", "1 of the 3 nodes", 6},
		{"init a --replicas 1", "", "no node runs here", 1},
		{"repo show a", "", "not known", 4},
	} {
		p.Env = []string{bad.env}
		r := p.TryPeer(strings.Fields(bad.line)...)
		if bad.line == "" {
			if r.Code != bad.code || !strings.Contains(r.Err, "Usage") {
				t.Errorf("without arguments: %v", r)
			}
			continue
		}
		wantError(t, r, bad.says)
		if r.Code != bad.code {
			t.Errorf("want exit %d: %v", bad.code, r)
		}
	}
	p.Env = nil
	for _, config := range []string{"{", `{"nonsense": 1}`, `{"listen": 7}`, `[]`, "\x00", `{"grpc-port": "x"}`} {
		if err := os.WriteFile(filepath.Join(p.Home, "config.json"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		r := p.TryPeer("node")
		wantError(t, r, "")
		if r.Code != usage {
			t.Errorf("config %q: %v", config, r)
		}
	}
}

// TestBadInputHomes starts nodes where they must not run.
func TestBadInputHomes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	ann := c.at(0)

	c.run(t, "home in use", func(t *testing.T) {
		wantError(t, ann.TryPeer("node"), "already runs")
		if _, err := ann.Status(); err != nil {
			t.Fatalf("the node that runs was disturbed: %v", err)
		}
	})
	c.run(t, "port in use", func(t *testing.T) {
		var config net.ListenConfig
		taken, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		port := taken.Addr().(*net.TCPAddr).Port
		for i, held := range []struct {
			flag, form string
			port       int
		}{
			{"--listen", "/ip4/127.0.0.1/tcp/%d", port},
			{"--grpc-port", "%d", port},
			{"--git-port", "%d", port},
			{"--listen", "/ip4/127.0.0.1/tcp/%d", c.nodes[1].port},
		} {
			p := c.guest(fmt.Sprintf("port%d", i), "")
			r := p.TryPeer("node", held.flag, fmt.Sprintf(held.form, held.port))
			wantError(t, withoutLog(r), "in use")
			if !strings.Contains(r.Err, fmt.Sprint(held.port)) || !strings.Contains(r.Err, "choose another one") {
				t.Errorf("it does not name the port, or not what to type: %v", r)
			}
			if _, err := os.Stat(filepath.Join(p.Home, "peer.pid")); err == nil {
				t.Error("peer.pid stays, and no node runs")
			}
		}
	})
	c.run(t, "newer format", func(t *testing.T) {
		p := c.guest("newer", "")
		if err := os.WriteFile(filepath.Join(p.Home, "FORMAT"), []byte("999\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		before, _ := filepath.Glob(p.Home + "/*")
		for _, args := range [][]string{{"node"}, {"id", "show"}, {"status"}, {"dev", "--dir", p.Path("dev")}} {
			if args[0] != "dev" {
				wantError(t, p.TryPeer(args...), "format 999")
			}
		}
		p.Refuses("", []string{"format 999"}, "ls-remote", "peer://me/demo")
		if after, _ := filepath.Glob(p.Home + "/*"); !slices.Equal(before, after) {
			t.Fatalf("files came or went: %v, before %v", after, before)
		}
	})
	c.run(t, "damaged", func(t *testing.T) {
		for name, content := range map[string]string{"FORMAT": "x\n", "key": "no key\n", "network.json": "{", "aliases.json": "["} {
			p := c.guest("damaged-"+name, "")
			if err := os.WriteFile(filepath.Join(p.Home, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			args := []string{"id", "show"}
			switch name {
			case "network.json":
				args = []string{"node"}
			case "aliases.json":
				args = []string{"id", "alias"}
			}
			wantError(t, p.TryPeer(args...), "")
			if now, _ := os.ReadFile(filepath.Join(p.Home, name)); string(now) != content {
				t.Errorf("%s was replaced by %q", name, now)
			}
		}
	})
}

// withoutLog takes the log lines of a node out of what it said.
func withoutLog(r people.Result) people.Result {
	var said strings.Builder
	for line := range strings.Lines(r.Err) {
		if !strings.HasPrefix(line, "time=") {
			said.WriteString(line)
		}
	}
	r.Err = said.String()
	return r
}

// TestBadInputOnPorts connects to every port and talks nonsense, or says nothing.
// The node goes on serving others.
func TestBadInputOnPorts(t *testing.T) {
	t.Parallel()
	c := newCluster(t, options{})
	r := c.create("demo")
	ann := c.at(0)
	ann.Git("", "init", "-q", "work")
	ann.Commit("work", "a.txt", []byte("1\n"))
	ann.Git("work", "push", "-q", r.url, "HEAD:refs/heads/main")
	var targets []string
	for i, n := range c.nodes {
		s, err := c.at(i).Status()
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, fmt.Sprintf("127.0.0.1:%d", n.port), s.GRPCAddr)
		if s.GitAddr != "" {
			targets = append(targets, s.GitAddr)
		}
	}
	const each = 8
	for _, target := range targets {
		for i := range each {
			silent := dialTCP(t, target)
			defer silent.Close() // open while all below goes on
			babble(t, target, uint64(i))
		}
	}
	for i := range each {
		socket := filepath.Join(c.nodes[0].home, "peer.sock")
		var d net.Dialer
		conn, err := d.DialContext(t.Context(), "unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(content.Random(uint64(i), 64<<10)) // it may close at any byte
	}
	ann.Commit("work", "a.txt", []byte("2\n"))
	begin := time.Now()
	ann.Git("work", "push", "-q", r.url, "HEAD:refs/heads/main")
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("a push beside the nonsense took %v", took)
	}
	r.cloneEverywhere(ann.Path("work"))
	for _, n := range c.nodes {
		if !n.runs() {
			t.Errorf("%s has ended", n.name)
		}
	}
}

func dialTCP(t *testing.T, target string) net.Conn {
	t.Helper()
	var d net.Dialer
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp4", target)
	if err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return conn
}

// babble sends something that is no protocol, or the beginning of another one.
func babble(t *testing.T, target string, seed uint64) {
	t.Helper()
	conn := dialTCP(t, target)
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(200 * time.Millisecond))
	openings := []string{
		"", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x13/multistream/1.0.0\n",
		"003egit-upload-pack /project.git\x00host=myserver.com\x00", "ffff", "0000", "SSH-2.0-x\r\n",
	}
	_, _ = io.WriteString(conn, openings[seed%uint64(len(openings))])
	_, _ = conn.Write(content.Random(seed, 256<<10)) // it may close at any byte
	_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20))
}
