// Package binary builds peer, once for a run and outside the tree. PEER_BIN names
// one that is built already; PEER_RACE=1 builds it with the race detector.
package binary

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// buildTimeout is for a build from nothing on a slow machine.
const buildTimeout = 10 * time.Minute

var build struct {
	once sync.Once
	dir  string // removed after the run; empty where nothing was built
	path string
	err  error
}

// Path is the path of peer, built at first use. env is for the first one, who may
// build it for another system.
func Path(env ...string) (string, error) {
	build.once.Do(func() { build.path, build.err = first(env) })
	return build.path, build.err
}

func first(env []string) (string, error) {
	if given := os.Getenv("PEER_BIN"); given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.MkdirTemp("", "peer-itest-bin-")
	if err != nil {
		return "", err
	}
	build.dir = dir
	path := filepath.Join(dir, "peer")
	var args []string
	if os.Getenv("PEER_RACE") == "1" {
		args, env = []string{"-race"}, append(env, "CGO_ENABLED=1")
	}
	return path, Build(path, env, args...)
}

// Build builds peer from the source beside the tests, as everybody builds it but
// for more env and args.
func Build(path string, env []string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	args = append(append([]string{"build", "-trimpath", "-ldflags", "-s -w", "-o", path}, args...), ".")
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = SourceDir()
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off"), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, said)
	}
	return nil
}

// BuildVersion builds peer so that it says it is of this version.
func BuildVersion(path, version string, env ...string) error {
	return Build(path, env, "-ldflags", "-s -w -X peer/cmd.release="+version)
}

// SourceDir is the root of the product's source, above that of the tests. Tests
// run in their package's directory.
func SourceDir() string {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, missing := os.Stat(filepath.Join(dir, "itest", "go.mod")); missing == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			err = os.ErrNotExist
		}
	}
	panic(fmt.Sprintf("source of peer: %v", err))
}

// Remove tidies up after the run.
func Remove() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}
