package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// errNoGit says that there is no git to be thin over.
var errNoGit = errors.New("git is not installed, or not in PATH")

// become replaces this process by git, so that terminal, signals and exit code
// are git's own. It returns only where that fails.
func (a *app) become(args ...string) error {
	git, err := exec.LookPath("git")
	if err != nil {
		return errNoGit
	}
	env, err := a.gitEnv()
	if err != nil {
		return err
	}
	return fmt.Errorf("run git: %w", syscall.Exec(git, append([]string{"git"}, args...), env))
}

// gitEnv is our environment, with this binary as the first remote helper in
// PATH, this command's home, and peer:// allowed everywhere, submodules included.
func (a *app) gitEnv() ([]string, error) {
	home, err := a.Home()
	if err != nil {
		return nil, err
	}
	return gitEnvOf(home)
}

func gitEnvOf(home *Home) ([]string, error) {
	links, err := helperDir(home)
	if err != nil {
		return nil, err
	}
	env := os.Environ()
	path := links + string(os.PathListSeparator) + os.Getenv("PATH")
	env = append(env, "PATH="+path, "PEER_HOME="+home.Dir)
	if file := home.PassphraseFile; file != "" {
		env = append(env, "PEER_PASSPHRASE_FILE="+file)
	}
	return env, nil
}

// helperDir is a directory that has this binary under the helper's name: its
// own, after `peer setup`, or else one in the home.
func helperDir(home *Home) (string, error) {
	exe, err := executable()
	if err != nil {
		return "", err
	}
	if sameFile(filepath.Join(filepath.Dir(exe), helperName), exe) {
		return filepath.Dir(exe), nil
	}
	dir := home.path("bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("link the remote helper: %w", err)
	}
	return dir, placeLink(filepath.Join(dir, helperName), exe)
}

// workTree is a git work tree that a command was called in.
type workTree struct{ dir string }

// currentWorkTree finds the work tree around the current directory; nil where
// there is none.
func currentWorkTree(ctx context.Context) (*workTree, error) {
	inside, err := gitOutput(ctx, "rev-parse", "--is-inside-work-tree")
	if errors.Is(err, exec.ErrNotFound) {
		return nil, errNoGit
	}
	if err != nil || inside != "true" {
		return nil, nil // git says why; here it only matters that it is none
	}
	dir, err := gitOutput(ctx, "rev-parse", "--show-toplevel")
	if err != nil {
		return nil, err
	}
	return &workTree{dir: dir}, nil
}

// config reads one configuration value; empty where it is not set.
func (t *workTree) config(ctx context.Context, key string) string {
	value, _ := gitOutput(ctx, "-C", t.dir, "config", "--get", "--end-of-options", key)
	return value
}

// gitOutput runs git for its output.
func gitOutput(ctx context.Context, args ...string) (string, error) {
	var stdout, stderr strings.Builder
	git := exec.CommandContext(ctx, "git", args...)
	git.Stdout, git.Stderr = &stdout, &stderr
	if err := git.Run(); err != nil {
		if said := strings.TrimSpace(stderr.String()); said != "" {
			err = fmt.Errorf("%w: %s", err, said)
		}
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(stdout.String()), nil
}
