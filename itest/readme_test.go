package itest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/await"
	"peer/itest/internal/binary"
)

// readmeHeading is above the transcript: the first ```sh block starts the
// network and stays in its terminal, the second one is typed into another.
const readmeHeading = "## Try it"

// TestReadme types what the README says, as somebody who has just fetched the
// source: nothing of peer in the PATH, and an empty home directory.
func TestReadme(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there is no README.md yet")
	}
	if err != nil {
		t.Fatal(err)
	}
	blocks := shellBlocks(string(raw), readmeHeading)
	if len(blocks) < 2 {
		t.Fatalf("README.md has %d blocks of shell under %q, and two terminals need two", len(blocks), readmeHeading)
	}
	env, home := newcomer(t)
	first := openTerminal(t, env, binary.SourceDir(), blocks[0])
	first.await(t, "ready", 5*time.Minute) // it may build from nothing
	second := openTerminal(t, env, home, blocks[1])
	if err := second.wait(2 * time.Minute); err != nil {
		t.Fatalf("the second terminal: %v\n%s\nthe first:\n%s", err, second, first)
	}
	t.Logf("the second terminal:\n%s", second)
	readmeShares(t, string(raw), env, home)
	pids := nodesBelow(t, home)
	if len(pids) == 0 {
		t.Error("no node ran")
	}
	// Ctrl-C reaches all of the terminal's processes.
	if err := syscall.Kill(-first.cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = first.wait(30 * time.Second) // go run tells of the signal as a failure
	await.Eventually(t, 10*time.Second, func() error {
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				return fmt.Errorf("process %d still runs", pid)
			}
		}
		return nil
	})
}

// invitation is how the README shortens what peer invite prints.
const invitation = "peer-invite-…"

// readmeShares types what the README says of a second person, who has peer
// installed and nothing else.
func readmeShares(t *testing.T, readme string, env []string, annsHome string) {
	t.Helper()
	blocks := shellBlocks(readme, "## Share it")
	if len(blocks) != 4 || !strings.Contains(blocks[1], invitation) {
		t.Fatalf("the section on sharing has %d blocks, or no invitation", len(blocks))
	}
	dev := filepath.Join(annsHome, ".local", "state", "peer", "dev")
	bobsEnv, bobsHome := newcomer(t)
	for i, v := range bobsEnv {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			bobsEnv[i] = "PATH=" + filepath.Join(dev, "bin") + ":" + path
		}
	}
	ann := func(block string) string {
		t.Helper()
		shell := openTerminal(t, env, annsHome, ". "+filepath.Join(dev, "env")+"\n"+block)
		if err := shell.wait(time.Minute); err != nil {
			t.Fatalf("ann: %v\n%s", err, shell)
		}
		return shell.String()
	}
	said := ann(blocks[0])
	at := strings.Index(said, strings.TrimSuffix(invitation, "…"))
	if at < 0 {
		t.Fatalf("no invitation:\n%s", said)
	}
	line := strings.Fields(said[at:])[0]
	node := openTerminal(t, bobsEnv, bobsHome, strings.Replace(blocks[1], invitation, line, 1))
	defer func() {
		_ = syscall.Kill(-node.cmd.Process.Pid, syscall.SIGINT)
		_ = node.wait(30 * time.Second)
	}()
	node.await(t, "ready", time.Minute)
	ann(blocks[2])
	work := openTerminal(t, bobsEnv, bobsHome, blocks[3])
	if err := work.wait(time.Minute); err != nil {
		t.Fatalf("bob: %v\n%s\nhis node:\n%s", err, work, node)
	}
	if !strings.Contains(work.String(), "committed at index") {
		t.Errorf("bob's push:\n%s", work)
	}
}

// shellBlocks are the ```sh blocks below a heading, up to the next of its rank.
func shellBlocks(text, heading string) (blocks []string) {
	_, text, _ = strings.Cut("\n"+text, "\n"+heading+"\n")
	text, _, _ = strings.Cut(text, "\n## ")
	for {
		_, rest, found := strings.Cut(text, "```sh\n")
		if !found {
			return blocks
		}
		block, after, _ := strings.Cut(rest, "```")
		blocks, text = append(blocks, block), after
	}
}

// newcomer is the environment of somebody with git and Go and nothing else. The
// caches of Go are shared: to fetch and build all again would prove nothing.
func newcomer(t *testing.T) (env []string, home string) {
	t.Helper()
	home, err := os.MkdirTemp("", "peer-it-home-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	config := "[user]\n\tname = Ann\n\temail = ann@example.org\n"
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	env = []string{"HOME=" + home, "PATH=" + filepath.Dir(tool) + ":/usr/local/bin:/usr/bin:/bin", "TERM=dumb"}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"} {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		value, err := exec.CommandContext(ctx, tool, "env", name).Output()
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+strings.TrimSpace(string(value)))
	}
	return env, home
}

// nodesBelow are the processes of the nodes whose homes are anywhere below dir.
func nodesBelow(t *testing.T, dir string) (pids []int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() != "peer.pid" {
			return nil // the network works there meanwhile
		}
		pid, err := pidOf(filepath.Dir(path))
		pids = append(pids, pid)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pids
}

// terminal is a shell that stops at the first line that fails.
type terminal struct {
	cmd   *exec.Cmd
	said  *os.File
	ended chan struct{}
	err   error
}

func openTerminal(t *testing.T, env []string, dir, script string) *terminal {
	t.Helper()
	said, err := os.CreateTemp(t.ArtifactDir(), "terminal-")
	if err != nil {
		t.Fatal(err)
	}
	e := &terminal{said: said, ended: make(chan struct{})}
	e.cmd = exec.CommandContext(context.Background(), "/bin/sh", "-euxc", script)
	e.cmd.Dir, e.cmd.Env, e.cmd.Stdout, e.cmd.Stderr = dir, env, said, said
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		e.err = e.cmd.Wait()
		close(e.ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGTERM) // fails where all have ended
		if e.wait(stopPatience) != nil {
			_ = syscall.Kill(-e.cmd.Process.Pid, syscall.SIGKILL)
		}
		<-e.ended
		_ = said.Close()
	})
	return e
}

// await waits for a line.
func (e *terminal) await(t *testing.T, line string, timeout time.Duration) {
	t.Helper()
	await.Eventually(t, timeout, func() error {
		if strings.Contains("\n"+e.String(), "\n"+line+"\n") {
			return nil
		}
		select {
		case <-e.ended:
			t.Fatalf("it ended before it said %q: %v\n%s", line, e.err, e)
		default:
		}
		return fmt.Errorf("it did not say %q:\n%s", line, e)
	})
}

func (e *terminal) wait(timeout time.Duration) error {
	select {
	case <-e.ended:
		return e.err
	case <-time.After(timeout):
		return fmt.Errorf("still at it after %v", timeout)
	}
}

func (e *terminal) String() string {
	raw, err := os.ReadFile(e.said.Name())
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimRight(raw, "\n")) + "\n"
}
