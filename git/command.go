package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// waitDelay bounds how long a child's pipes may stay open once it is dead, held
// by a grandchild or by a reader that does not read.
const waitDelay = 3 * time.Second

// Command is one run of git. Names from outside belong behind an
// "--end-of-options" in Args.
type Command struct {
	Args []string // the subcommand and what follows it
	Dir  string   // working directory; empty: this process's
	Env  []string // added to the environment

	// Inherit keeps the caller's environment, configuration and process group:
	// for commands in a person's own repository, which git told us about through
	// the environment, and which Ctrl-C must reach. Otherwise the environment is
	// built from nothing and the child leads a process group of its own, all of
	// which is killed when the context ends.
	Inherit bool

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer // nil: kept for the error; otherwise the error has none

	config []string // key=value, over all other configuration
	limits limits
	nice   int // added to the niceness of the whole group
}

// childMemoryBytesMax is what a child with a built environment may allocate unless it
// is given another limit. A repository that needs more takes no pushes either.
const childMemoryBytesMax = 4 << 30

// limits bound one child; zero fields don't.
type limits struct {
	memoryBytes int64 // private memory, mapped packs not counted; see childMemoryBytesMax. -1: any
	fileBytes   int64 // size of any file that it writes
	cpuSeconds  int64
}

// Run runs the command and waits for it.
func (c *Command) Run(ctx context.Context) error {
	p, err := c.start(ctx)
	if err != nil {
		return err
	}
	return p.wait()
}

// Output is Run, returning what the command wrote. More than max bytes are an error.
func (c *Command) Output(ctx context.Context, max int) ([]byte, error) {
	out := &limitedBuffer{max: max}
	c.Stdout = out
	err := c.Run(ctx)
	if out.full {
		return nil, fmt.Errorf("git %s: wrote more than %d bytes", c.Args[0], max)
	}
	return out.buf.Bytes(), err
}

// process is a command that has started.
type process struct {
	ctx    context.Context
	cmd    *exec.Cmd
	name   string
	stderr *excerpt // nil when the caller takes it
	group  bool
}

func (c *Command) start(ctx context.Context) (*process, error) {
	p, err := c.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return p, p.start(c)
}

// prepare is separate from start for those who want pipes.
func (c *Command) prepare(ctx context.Context) (*process, error) {
	p := &process{ctx: ctx, name: c.Args[0], group: !c.Inherit}
	var args []string
	for _, setting := range c.config {
		args = append(args, "-c", setting)
	}
	p.cmd = exec.CommandContext(ctx, "git", append(args, c.Args...)...)
	if p.cmd.Err != nil {
		return nil, fmt.Errorf("git %s: %w", p.name, p.cmd.Err)
	}
	p.cmd.Dir = c.Dir
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = c.Stdin, c.Stdout, c.Stderr
	if c.Stderr == nil {
		p.stderr = new(excerpt)
		p.cmd.Stderr = p.stderr
	}
	if c.Inherit {
		p.cmd.Env = append(os.Environ(), c.Env...)
	} else {
		p.cmd.Env = append(baseEnv(), c.Env...)
		ownGroup(p.cmd)
		if c.limits.memoryBytes == 0 {
			c.limits.memoryBytes = childMemoryBytesMax
		}
	}
	p.cmd.WaitDelay = waitDelay
	return p, nil
}

func (p *process) start(c *Command) error {
	if err := p.cmd.Start(); err != nil {
		if cause := context.Cause(p.ctx); cause != nil {
			err = cause
		}
		return fmt.Errorf("git %s: start: %w", p.name, err)
	}
	err := limitChild(p.cmd.Process.Pid, c.limits)
	if err == nil && c.nice != 0 {
		err = niceGroup(p.cmd.Process.Pid, c.nice)
	}
	if err != nil {
		p.kill()
		_ = p.cmd.Wait()
		return fmt.Errorf("git %s: limit: %w", p.name, err)
	}
	return nil
}

// kill ends the child, and its group if it leads one.
func (p *process) kill() { _ = p.cmd.Cancel() }

// wait returns when the child has ended, and its error as an *ExitError.
func (p *process) wait() error {
	err := p.cmd.Wait()
	if err == nil {
		return nil
	}
	if errors.Is(err, exec.ErrWaitDelay) && p.group {
		p.kill() // whoever still holds the pipes is in the group
	}
	e := &ExitError{Command: p.name, Code: p.cmd.ProcessState.ExitCode()}
	if p.stderr != nil {
		e.Stderr = p.stderr.String()
	}
	var exit *exec.ExitError
	switch {
	case context.Cause(p.ctx) != nil:
		e.Err = context.Cause(p.ctx)
	case !errors.As(err, &exit): // copying to or from it failed
		e.Err = err
	case e.Code < 0:
		e.Err = signalError(p.cmd.ProcessState)
	}
	return e
}

// baseConfig overrides whatever a repository's own configuration says.
var baseConfig = []string{
	"safe.directory", "*", // our directories may belong to another user than the node
	"core.hooksPath", os.DevNull,
	"gc.auto", "0",
	"maintenance.auto", "false",
	"protocol.allow", "never", // no child of a node opens a connection
	// Blobs above this stream by, unless they are deltas or their bases, and no delta
	// is looked for: git holds ten objects at a time for that, of whatever size.
	"core.bigFileThreshold", "32m",
	"pack.windowMemory", "128m", // of those below, in each of its threads
}

// baseEnv is all that a child in one of our own repositories knows.
func baseEnv() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=/nonexistent",
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_NO_LAZY_FETCH=1",
		// Whoever may push refs/replace/ must not bend what a check sees.
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_CONFIG_COUNT=" + strconv.Itoa(len(baseConfig)/2),
	}
	for i := 0; i < len(baseConfig); i += 2 {
		n := strconv.Itoa(i / 2)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+baseConfig[i], "GIT_CONFIG_VALUE_"+n+"="+baseConfig[i+1])
	}
	return env
}

// limitedBuffer keeps up to max bytes and remembers whether there were more.
// NB: it must not embed its buffer, whose ReadFrom would get round the limit.
type limitedBuffer struct {
	buf  bytes.Buffer
	max  int
	full bool
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if b.buf.Len()+len(p) > b.max {
		b.full = true
		return len(p), nil // or the child would die of a broken pipe, which hides why
	}
	return b.buf.Write(p)
}
