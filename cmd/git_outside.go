package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"peer/git"
)

const (
	// gitStopPatience is how long git may take to end its own children before it is killed.
	gitStopPatience = 5 * time.Second
	// gitSaidBytesMax bounds what is kept of its words for an error.
	gitSaidBytesMax = 8 << 10
	// refListBytesMax bounds a listing of refs: refsMax of them.
	refListBytesMax = 256 << 20
)

// outsideGit runs git between the network and other repositories: in a bare
// repository of ours, with the configuration and the credentials of its user.
type outsideGit struct {
	dir string   // the bare repository; it need not be there to list
	env []string // as of gitEnv
	// errs takes what git says as it comes. Nil: there is nobody to read it, nor to
	// answer, so it has no terminal, and its words are kept for the error.
	errs     io.Writer
	settings []string // configuration, besides outsideConfig
	secretIn string   // a URL whose secrets git's words are not to show: git hides what is before the host alone
}

// gitError is a git that failed, with its own words where it was nobody's to read them.
type gitError struct {
	command string
	said    string
	err     error
}

func (e *gitError) Error() string {
	if e.said == "" {
		return fmt.Sprintf("git %s: %v", e.command, e.err)
	}
	return ownWords.Replace(e.said)
}

// ownWords makes what our remote helper printed the part of an error.
var ownWords = strings.NewReplacer("peer: error: ", "", "\npeer: hint: ", "; ")

func (e *gitError) Unwrap() error { return e.err }

// outsideConfig goes before the user's own: what git does besides fetching and
// pushing is not wanted here.
var outsideConfig = []string{
	allowPeer, "core.hooksPath=" + os.DevNull, "gc.auto=0", "maintenance.auto=false", "core.logAllRefUpdates=false",
	"push.gpgSign=false", "push.followTags=false", "push.recurseSubmodules=no", "fetch.recurseSubmodules=no", "fetch.writeCommitGraph=false",
}

// The credential helper of a URL that has a password, and where it reads that from.
const (
	urlUserEnv     = "PEER_URL_USER"
	urlPasswordEnv = "PEER_URL_PASSWORD"
	urlHelper      = `!f() { test "$1" != get || printf 'username=%s\npassword=%s\n' "$` + urlUserEnv + `" "$` + urlPasswordEnv + `"; }; f`
)

// localEnv are the variables that lead git to the repository it was called in.
var localEnv = []string{
	"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR",
	"GIT_NAMESPACE", "GIT_SHALLOW_FILE", "GIT_PREFIX", "GIT_QUARANTINE_PATH", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE",
}

// newOutsideGit works in the bare repository at dir.
func newOutsideGit(h *Home, dir string, errs io.Writer) (*outsideGit, error) {
	env, err := gitEnvOf(h)
	if err != nil {
		return nil, err
	}
	env = slices.DeleteFunc(env, func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(localEnv, name)
	})
	env = append(env, "GIT_DIR="+dir, "GIT_NO_REPLACE_OBJECTS=1")
	return &outsideGit{dir: dir, env: env, errs: errs}, nil
}

// newUnattendedGit is newOutsideGit where nobody is there to read or to answer, and
// connections that are dead must end by themselves.
func newUnattendedGit(ctx context.Context, h *Home, dir string) (*outsideGit, error) {
	g, err := newOutsideGit(h, dir, nil)
	if err != nil {
		return nil, err
	}
	g.settings = []string{"http.lowSpeedLimit=100", "http.lowSpeedTime=60"} // bytes a second, seconds
	ssh := os.Getenv("GIT_SSH_COMMAND")
	if ssh == "" {
		ssh, _ = gitOutput(ctx, "config", "--get", "core.sshCommand")
	}
	if ssh == "" && os.Getenv("GIT_SSH") == "" {
		ssh = "ssh"
	}
	if ssh != "" {
		g.env = append(g.env, "GIT_SSH_COMMAND="+batchSSH(ssh))
	}
	g.env = append(g.env, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "SSH_ASKPASS_REQUIRE=never", "GCM_INTERACTIVE=never")
	return g, nil
}

// batchSSH adds to a command of OpenSSH that it asks nothing, and gives up on a dead
// connection. Others have options of their own.
func batchSSH(command string) string {
	program, _, _ := strings.Cut(command, " ")
	if filepath.Base(program) != "ssh" {
		return command
	}
	return command + " -oBatchMode=yes -oConnectTimeout=30 -oServerAliveInterval=30"
}

// run runs git to its end. When ctx ends git is asked to end, and then made to.
func (g *outsideGit) run(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	var all []string
	for _, setting := range slices.Concat(outsideConfig, g.settings) {
		all = append(all, "-c", setting)
	}
	said := &tail{max: gitSaidBytesMax}
	c := exec.CommandContext(ctx, "git", append(all, args...)...)
	c.Env, c.Stdin, c.Stdout, c.Stderr = g.env, stdin, stdout, g.errs
	if g.errs != nil && publicURL(g.secretIn) != g.secretIn { // otherwise git has the terminal itself
		discreet := &discreetWriter{to: g.errs, url: g.secretIn}
		defer discreet.flush()
		c.Stderr = discreet
	}
	c.WaitDelay = gitStopPatience
	target := func() int { return c.Process.Pid }
	if g.errs == nil {
		c.Stderr = said
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		target = func() int { return -c.Process.Pid } // with all that it started
	}
	c.Cancel = func() error { return syscall.Kill(target(), syscall.SIGTERM) }
	err := c.Run()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, exec.ErrNotFound):
		return errNoGit
	case ctx.Err() != nil:
		if g.errs == nil && c.Process != nil {
			_ = syscall.Kill(target(), syscall.SIGKILL) // whoever did not go by itself
		}
		return context.Cause(ctx)
	}
	return &gitError{command: args[0], said: strings.TrimSpace(said.String()), err: err}
}

// output is run for what git prints.
func (g *outsideGit) output(ctx context.Context, args ...string) (string, error) {
	out := &tail{max: refListBytesMax}
	if err := g.run(ctx, nil, out, args...); err != nil {
		return "", err
	}
	if out.dropped {
		return "", fmt.Errorf("git %s: more than %d bytes", args[0], refListBytesMax)
	}
	return out.String(), nil
}

// entrust returns url without its password, and a git that knows it nevertheless: a
// command line is everybody's to read on a machine, an environment is not.
func (g *outsideGit) entrust(url string) (*outsideGit, string) {
	user, password, bare, ok := httpPassword(url)
	if !ok {
		return g, url
	}
	scheme, place, _ := strings.Cut(bare, "://")
	host, _, _ := strings.Cut(place, "/")
	scope := "credential." + scheme + "://" + host
	told := *g
	told.env = append(slices.Clip(g.env), urlUserEnv+"="+user, urlPasswordEnv+"="+password)
	told.settings = append(slices.Clip(g.settings), scope+".helper=", scope+".helper="+urlHelper) // it alone
	return &told, bare
}

// create makes the bare repository.
func (g *outsideGit) create(ctx context.Context, format git.Format) error {
	return g.run(ctx, nil, g.errs, "init", "--quiet", "--bare", "--template=", "--object-format="+string(format))
}

// fetch takes over what refspecs name, from a URL.
func (g *outsideGit) fetch(ctx context.Context, url string, refspecs []string, options ...string) error {
	g, url = g.entrust(url)
	args := append([]string{"fetch", "--no-tags", "--no-write-fetch-head", "--stdin"}, options...)
	return g.run(ctx, strings.NewReader(strings.Join(refspecs, "\n")+"\n"), g.errs, append(args, "--end-of-options", url)...)
}

// refs lists what is in the repository.
func (g *outsideGit) refs(ctx context.Context) ([]git.Ref, error) {
	out, err := g.output(ctx, "for-each-ref", "--format=%(objectname)%09%(refname)")
	if err != nil {
		return nil, err
	}
	l, err := parseLsRemote(out)
	return l.refs, err
}

// pushed is what git says became of one ref.
type pushed struct {
	name   string
	flag   byte // as of git push --porcelain: '!' is refused, '=' was so before
	reason string
}

// push pushes to a URL. That refs were refused is in the result, and no error.
func (g *outsideGit) push(ctx context.Context, url string, refspecs []string, options ...string) ([]pushed, error) {
	g, url = g.entrust(url)
	args := append([]string{"push", "--porcelain", "--no-verify"}, options...)
	out := &tail{max: refListBytesMax}
	err := g.run(ctx, nil, out, append(append(args, "--end-of-options", url), refspecs...)...)
	refs := parsePushed(out.String())
	if err != nil && slices.ContainsFunc(refs, pushed.refused) {
		err = nil
	}
	return refs, err
}

func (p pushed) refused() bool { return p.flag == '!' }

// moved says that the ref is another one than before.
func (p pushed) moved() bool { return p.flag != '!' && p.flag != '=' }

// parsePushed reads lines of FLAG, FROM:TO and REASON, with tabs between.
func parsePushed(out string) []pushed {
	var refs []pushed
	for line := range strings.Lines(out) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(parts) < 3 || len(parts[0]) != 1 {
			continue // "To URL", "Done"
		}
		at := strings.LastIndexByte(parts[1], ':')
		refs = append(refs, pushed{name: parts[1][at+1:], flag: parts[0][0], reason: parts[2]})
	}
	return refs
}

// tail keeps the end of what is written to it.
type tail struct {
	buf     bytes.Buffer
	max     int
	dropped bool
}

func (t *tail) Write(p []byte) (int, error) {
	if over := t.buf.Len() + len(p) - t.max; over > 0 {
		t.dropped = true
		t.buf.Next(over)
	}
	t.buf.Write(p[max(0, len(p)-t.max):])
	return len(p), nil
}

func (t *tail) String() string { return t.buf.String() }
