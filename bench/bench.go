package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// bench is one run: where it works, and what it runs.
type bench struct {
	cfg  config
	dir  string // temporary; all but the cache is in it
	work string // in it: what the row that runs now makes
	peer string // the binary
	errs io.Writer
}

// newBench makes the directory and builds the binary, unless there is one.
func newBench(ctx context.Context, cfg config, errs io.Writer) (*bench, error) {
	// Sockets live below, and their paths must be short.
	dir, err := os.MkdirTemp(cfg.dir, "peer-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{cfg: cfg, dir: dir, peer: cfg.bin, errs: errs}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	const gitConfig = "[user]\n\tname = bench\n\temail = bench@example.org\n[init]\n\tdefaultBranch = main\n"
	if err := os.WriteFile(b.path("gitconfig"), []byte(gitConfig), 0o600); err != nil {
		return err
	}
	if b.peer == "" {
		b.peer = b.path("peer")
		b.say("building peer")
		return b.build(ctx, "peer", b.peer)
	}
	abs, err := filepath.Abs(b.peer)
	b.peer = abs
	return err
}

// build builds a package of this module as releases are built.
func (b *bench) build(ctx context.Context, pkg, to string) error {
	_, _, err := b.run(ctx, command{
		env:  []string{"CGO_ENABLED=0", "HOME=" + os.Getenv("HOME")},
		args: []string{"go", "build", "-trimpath", "-o", to, pkg},
	})
	return err
}

// close removes all files.
func (b *bench) close() error {
	if b.cfg.keep {
		b.say("everything stays in %s", b.dir)
		return nil
	}
	return os.RemoveAll(b.dir)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// newDir makes an empty directory, which goes with the row.
func (b *bench) newDir(name string) (string, error) { return os.MkdirTemp(b.work, name+"-") }

// environment is that of every child: nobody's own configuration bends a
// measurement, and no PEER_ variable leads to somebody's home.
func (b *bench) environment(more []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, "PEER_") && !strings.HasPrefix(name, "GIT_") && name != "HOME" {
			env = append(env, v)
		}
	}
	env = append(env,
		"HOME="+b.dir, "LC_ALL=C", "GIT_TERMINAL_PROMPT=0",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+b.path("gitconfig"),
	)
	return append(env, more...) // of two settings of one variable the later one counts
}

// say tells the person who waits.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.errs, "bench: "+format+"\n", args...) }
