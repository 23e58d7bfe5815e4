// Package people has those who run git and peer in the tests, wherever that is,
// and reads what they are told.
package people

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// CommandTimeout bounds every command of a person.
const CommandTimeout = 3 * time.Minute

// Place is where people work: this machine, or a container.
type Place interface {
	// Run runs a command to its end. When ctx ends it is killed, with all that it
	// started.
	Run(ctx context.Context, c Command) Result
	// WriteFile writes a file and makes the directories above it. The path is
	// absolute.
	WriteFile(path string, data []byte) error
	// Test is the test in whose name something may fail now.
	Test() testing.TB
}

// Command is what a person types.
type Command struct {
	Dir   string // absolute
	Env   []string
	Input []byte
	Args  []string // "git" and "peer" are found where the place has them
}

// Person runs git and peer with a home: that of a node, or one without.
type Person struct {
	Place Place
	Home  string // PEER_HOME; empty: what the place says
	Dir   string // HOME, and where relative directories begin
	Env   []string
}

func (p *Person) t() testing.TB { return p.Place.Test() }

// gitEnv makes git the same everywhere.
var gitEnv = []string{
	"LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	"GIT_CONFIG_COUNT=3",
	"GIT_CONFIG_KEY_0=init.defaultBranch", "GIT_CONFIG_VALUE_0=main",
	"GIT_CONFIG_KEY_1=gc.auto", "GIT_CONFIG_VALUE_1=0",
	"GIT_CONFIG_KEY_2=advice.detachedHead", "GIT_CONFIG_VALUE_2=false",
	"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org",
	"GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
}

// Environment is what every command gets whose user's own directory is dir.
func Environment(dir string) []string {
	return append([]string{"HOME=" + dir}, gitEnv...)
}

// Command is what the person types in dir, which may be relative to their own.
func (p *Person) Command(dir, name string, args ...string) Command {
	env := Environment(p.Dir)
	if p.Home != "" {
		env = append(env, "PEER_HOME="+p.Home)
	}
	if !filepath.IsAbs(dir) {
		dir = p.Path(dir)
	}
	return Command{Dir: dir, Env: append(env, p.Env...), Args: append([]string{name}, args...)}
}

// Run runs a command in dir.
func (p *Person) Run(dir, name string, args ...string) Result {
	return p.RunInput(nil, dir, name, args...)
}

// RunInput runs a command that reads input.
func (p *Person) RunInput(input []byte, dir, name string, args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), CommandTimeout)
	defer cancel()
	return p.RunUntil(ctx, input, dir, name, args...)
}

// RunUntil runs a command that is killed when ctx ends.
func (p *Person) RunUntil(ctx context.Context, input []byte, dir, name string, args ...string) Result {
	c := p.Command(dir, name, args...)
	c.Input = input
	begin := time.Now()
	r := p.Place.Run(ctx, c)
	r.Line, r.Took = strings.Join(c.Args, " "), time.Since(begin)
	return r
}

// Git runs git, and fails the test if git fails. It returns what git printed.
func (p *Person) Git(dir string, args ...string) string {
	p.t().Helper()
	return p.Must(p.TryGit(dir, args...))
}

// TryGit runs git.
func (p *Person) TryGit(dir string, args ...string) Result { return p.Run(dir, "git", args...) }

// Peer runs peer in the person's own directory, likewise.
func (p *Person) Peer(args ...string) string {
	p.t().Helper()
	return p.Must(p.TryPeer(args...))
}

// TryPeer runs peer.
func (p *Person) TryPeer(args ...string) Result { return p.Run("", "peer", args...) }

// Must fails the test unless a command ended well, and returns what it printed.
func (p *Person) Must(r Result) string {
	p.t().Helper()
	if r.Code != 0 {
		p.t().Fatal(r)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// Refuses runs git and wants it to fail, saying all of says.
func (p *Person) Refuses(dir string, says []string, args ...string) Result {
	p.t().Helper()
	r := p.TryGit(dir, args...)
	if r.Code == 0 {
		p.t().Fatalf("succeeded, and should not have: %v", r)
	}
	for _, s := range says {
		if !strings.Contains(r.Err+r.Out, s) {
			p.t().Fatalf("does not say %q: %v", s, r)
		}
	}
	return r
}

// Path is a file or directory of the person's.
func (p *Person) Path(elem ...string) string {
	return filepath.Join(append([]string{p.Dir}, elem...)...)
}

// Write writes a file of the person's.
func (p *Person) Write(name string, data []byte) {
	p.t().Helper()
	if err := p.Place.WriteFile(p.Path(name), data); err != nil {
		p.t().Fatal(err)
	}
}

// Commit adds one commit that writes a file to the work tree dir, and returns its ID.
func (p *Person) Commit(dir, file string, data []byte) string {
	p.t().Helper()
	p.Write(filepath.Join(dir, file), data)
	p.Git(dir, "add", file)
	p.Git(dir, "commit", "-q", "-m", "write "+file)
	return p.Git(dir, "rev-parse", "HEAD")
}
