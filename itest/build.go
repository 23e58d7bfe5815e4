package itest

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

// binary is the path of peer, built at first use.
func binary() (string, error) {
	build.once.Do(func() { build.path, build.err = buildBinary() })
	return build.path, build.err
}

func buildBinary() (string, error) {
	if given := os.Getenv("PEER_BIN"); given != "" {
		return filepath.Abs(given)
	}
	dir, err := os.MkdirTemp("", "peer-itest-bin-")
	if err != nil {
		return "", err
	}
	build.dir = dir
	path := filepath.Join(dir, "peer")
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	defer cancel()
	args, cgo := []string{"build", "-o", path, "."}, "CGO_ENABLED=0"
	if os.Getenv("PEER_RACE") == "1" {
		args, cgo = []string{"build", "-race", "-o", path, "."}, "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = sourceDir()
	cmd.Env = append(os.Environ(), cgo, "GOWORK=off") // as everybody builds it
	if said, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %v: %w\n%s", args, err, said)
	}
	return path, nil
}

// sourceDir is the root of the product's source. Tests run in their package's
// directory.
func sourceDir() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return dir
}

// removeBinary tidies up after the run.
func removeBinary() {
	if build.dir != "" {
		_ = os.RemoveAll(build.dir)
	}
}
