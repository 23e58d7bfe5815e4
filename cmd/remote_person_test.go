package cmd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// person runs real git in directories of their own, with the helper in PATH
// and a home that knows one replica.
type person struct {
	t    *testing.T
	dir  string
	home string
	env  []string
}

// gitRun is how one run of git ended.
type gitRun struct {
	t           *testing.T
	line        string
	code        int
	out, stderr string
}

func newPerson(t *testing.T, f *fakeReplica) *person {
	t.Helper()
	root := t.TempDir()
	bin := filepath.Join(root, "bin")
	p := &person{t: t, dir: filepath.Join(root, "work"), home: filepath.Join(root, "home")}
	for _, dir := range []string{bin, p.dir} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	writeTestKey(t, p.home, f.pusher)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, fakeHelperName)); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(root, "gitconfig")
	if err := os.WriteFile(config, []byte("[protocol \"peer\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, v := range cleanEnv() {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			v = "PATH=" + bin + ":" + path
		}
		p.env = append(p.env, v)
	}
	p.env = append(p.env, "GIT_CONFIG_GLOBAL="+config, "PEER_HOME="+p.home, "GIT_TERMINAL_PROMPT=0",
		fakeSocketEnv+"="+f.socket, "PEER_PUSH_TIMEOUT=20s")
	return p
}

// run runs git in a directory below the person's.
func (p *person) run(dir string, args ...string) *gitRun {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 60*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "git", args...)
	c.Dir, c.Env = filepath.Join(p.dir, dir), p.env
	var out, stderr bytes.Buffer
	c.Stdout, c.Stderr = &out, &stderr
	c.WaitDelay = time.Second
	err := c.Run()
	r := &gitRun{t: p.t, line: strings.Join(args, " "), code: c.ProcessState.ExitCode(), out: out.String(), stderr: stderr.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("git %s: %v", r.line, err)
	}
	return r
}

// ok runs git and wants success.
func (p *person) ok(dir string, args ...string) string {
	p.t.Helper()
	return strings.TrimSpace(p.run(dir, args...).exits(0).out)
}

func (r *gitRun) exits(code int) *gitRun {
	r.t.Helper()
	if r.code != code {
		r.t.Fatalf("git %s: exit code %d, want %d\n%s%s", r.line, r.code, code, r.out, r.stderr)
	}
	return r
}

func (r *gitRun) says(texts ...string) *gitRun {
	r.t.Helper()
	for _, text := range texts {
		if !strings.Contains(r.out+r.stderr, text) {
			r.t.Errorf("git %s does not say %q:\n%s%s", r.line, text, r.out, r.stderr)
		}
	}
	return r
}

func (r *gitRun) doesNotSay(texts ...string) *gitRun {
	r.t.Helper()
	for _, text := range texts {
		if strings.Contains(r.out+r.stderr, text) {
			r.t.Errorf("git %s says %q:\n%s%s", r.line, text, r.out, r.stderr)
		}
	}
	return r
}

// commit makes a commit on the branch that is checked out.
func (p *person) commit(dir, file, text string) string {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.dir, dir, file), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	p.ok(dir, "add", file)
	p.ok(dir, "commit", "--quiet", "-m", strings.ToValidUTF8(strings.ReplaceAll(text[:min(len(text), 40)], "\x00", ""), "?"))
	return p.ok(dir, "rev-parse", "HEAD")
}

// started returns a person with a work tree "w" that has pushed one commit.
func started(t *testing.T) (*fakeReplica, *person) {
	t.Helper()
	f := newFakeReplica(t, "sha1")
	p := newPerson(t, f)
	p.ok("", "init", "--quiet", "--initial-branch=main", "w")
	p.ok("w", "remote", "add", "origin", f.url())
	p.commit("w", "a", "1")
	p.ok("w", "push", "--quiet", "-u", "origin", "main")
	return f, p
}
