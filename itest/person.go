package itest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commandTimeout bounds every command of a person.
const commandTimeout = 3 * time.Minute

// person runs git and peer with a home: that of a node, or one without.
type person struct {
	c    *cluster
	home string // PEER_HOME
	dir  string // HOME, and where relative directories begin
	env  []string
}

// at is the user of node i.
func (c *cluster) at(i int) *person { return c.nodes[i].user }

// person is somebody who has a home. Their own directory is not in it.
func (c *cluster) person(home string) *person {
	p := &person{c: c, home: home, dir: filepath.Join(c.dir, "user-of-"+filepath.Base(home))}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return p
}

// guest is somebody with a home but no node: the helper reaches the network by
// itself. key is the path of a private key, or empty for a fresh one.
func (c *cluster) guest(name, key string) *person {
	c.t.Helper()
	home := filepath.Join(c.dir, name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		c.t.Fatal(err)
	}
	config := map[string]any{}
	raw, err := os.ReadFile(filepath.Join(c.nodes[0].home, "config.json"))
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	peers, _ := config["peer"].([]any)
	config["peer"] = append(peers, fmt.Sprintf("%s/p2p/%s", c.nodes[0].listens(), c.nodes[0].peerID))
	config["listen"], config["git-port"] = []string{"/ip4/127.0.0.1/tcp/0"}, 0 // should they run a node
	if raw, err = json.Marshal(config); err == nil {
		err = os.WriteFile(filepath.Join(home, "config.json"), raw, 0o600)
	}
	if err == nil && key != "" {
		err = os.Symlink(key, filepath.Join(home, "key"))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return c.person(home)
}

// baseEnv is the whole environment of a command: nothing of the caller's gets in.
func (c *cluster) baseEnv(home string) []string {
	path := filepath.Join(c.dir, "bin")
	if git, err := exec.LookPath("git"); err == nil {
		path += ":" + filepath.Dir(git)
	}
	return []string{
		"PATH=" + path + ":/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "TMPDIR=" + os.TempDir(),
		"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_COUNT=3",
		"GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
		"GIT_CONFIG_KEY_1=gc.auto", "GIT_CONFIG_VALUE_1=0",
		"GIT_CONFIG_KEY_2=advice.detachedHead", "GIT_CONFIG_VALUE_2=false",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org",
		"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
}

// result is what became of a command.
type result struct {
	line     string
	out, err string
	code     int // -1: killed
	took     time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("%s: exit %d after %v\n%s%s", r.line, r.code, r.took.Round(time.Millisecond), r.out, r.err)
}

// stale says that a listing was served without a leader, and says so.
func (r result) stale() bool {
	return strings.Contains(r.err, "no leader confirmed this")
}

// run runs a command in dir, which may be relative to the person's own.
func (p *person) run(dir, name string, args ...string) result {
	return p.runInput(nil, dir, name, args...)
}

func (p *person) runInput(input []byte, dir, name string, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	return p.runUntil(ctx, input, dir, name, args...)
}

// runUntil runs a command that is killed when ctx ends.
func (p *person) runUntil(ctx context.Context, input []byte, dir, name string, args ...string) result {
	cmd := p.command(ctx, dir, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &out, &errs
	begin := time.Now()
	err := cmd.Run()
	r := result{line: strings.Join(append([]string{name}, args...), " "), out: out.String(), err: errs.String(), took: time.Since(begin)}
	if err != nil {
		r.code = -1
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			r.code = exit.ExitCode()
		} else {
			r.err += err.Error()
		}
	}
	return r
}

// command prepares a command in a process group of its own, which is killed
// whole when ctx ends.
func (p *person) command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	if name == "peer" {
		name = p.c.peer()
	}
	all := p.c.within(-1, append([]string{name}, args...)...)
	cmd := exec.CommandContext(ctx, all[0], all[1:]...)
	if cmd.Dir = dir; !filepath.IsAbs(dir) {
		cmd.Dir = filepath.Join(p.dir, dir)
	}
	cmd.Env = append(p.c.baseEnv(p.dir), "PEER_HOME="+p.home)
	cmd.Env = append(cmd.Env, p.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// git runs git, and fails the test if git fails. It returns what git printed.
func (p *person) git(dir string, args ...string) string {
	p.c.t.Helper()
	return p.must(p.tryGit(dir, args...))
}

func (p *person) tryGit(dir string, args ...string) result { return p.run(dir, "git", args...) }

// peer runs peer in the person's own directory, likewise.
func (p *person) peer(args ...string) string {
	p.c.t.Helper()
	return p.must(p.tryPeer(args...))
}

func (p *person) tryPeer(args ...string) result { return p.run("", "peer", args...) }

func (p *person) must(r result) string {
	p.c.t.Helper()
	if r.code != 0 {
		p.c.t.Fatal(r)
	}
	return strings.TrimSuffix(r.out, "\n")
}

// refuses runs git and wants it to fail, saying all of says.
func (p *person) refuses(dir string, says []string, args ...string) result {
	p.c.t.Helper()
	r := p.tryGit(dir, args...)
	if r.code == 0 {
		p.c.t.Fatalf("succeeded, and should not have: %v", r)
	}
	for _, s := range says {
		if !strings.Contains(r.err+r.out, s) {
			p.c.t.Fatalf("does not say %q: %v", s, r)
		}
	}
	return r
}

// path is a file or directory of the person's.
func (p *person) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// write writes a file of the person's.
func (p *person) write(name string, data []byte) {
	p.c.t.Helper()
	path := p.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.c.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		p.c.t.Fatal(err)
	}
}

// commit adds one commit that writes a file to the work tree dir, and returns its ID.
func (p *person) commit(dir, file string, data []byte) string {
	p.c.t.Helper()
	p.write(filepath.Join(dir, file), data)
	p.git(dir, "add", file)
	p.git(dir, "commit", "-q", "-m", "write "+file)
	return p.git(dir, "rev-parse", "HEAD")
}

// identityOf is what `peer id show --json` prints.
type identityOf struct {
	PeerID string `json:"peer_id"`
	DID    string `json:"did"`
}

func (p *person) identity() (id identityOf) {
	p.c.t.Helper()
	p.parse(p.peer("id", "show", "--json"), &id)
	return id
}

// statusOf is what `peer status --json` prints.
type statusOf struct {
	PeerID string `json:"peer_id"`
	Peers  []struct {
		PeerID string `json:"peer_id"`
	} `json:"peers"`
	Repos    []repoState `json:"repos"`
	GRPCAddr string      `json:"grpc_addr"`
	GitAddr  string      `json:"git_addr"`
}

func (p *person) status() (s statusOf, err error) {
	r := p.tryPeer("status", "--json")
	if r.code != 0 {
		return s, errors.New(r.String())
	}
	return s, json.Unmarshal([]byte(r.out), &s)
}

func (p *person) parse(text string, into any) {
	p.c.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		p.c.t.Fatalf("%v in %s", err, text)
	}
}
