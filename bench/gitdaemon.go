package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// gitDaemon is a stock git daemon that serves all below a directory.
type gitDaemon struct {
	*daemon
	root string
	port int
}

const daemonConnectionsMax = 256

// startGitDaemon starts one. Its port is free when it is chosen; should another
// process take it at that moment, the daemon does not start, and says so.
func (b *bench) startGitDaemon(ctx context.Context, root string) (*gitDaemon, error) {
	port, err := freePort(ctx)
	if err != nil {
		return nil, err
	}
	// Started by "git daemon" it would be a grandchild, whose CPU time and end are
	// not seen from here.
	libexec, _, err := b.run(ctx, command{args: []string{"git", "--exec-path"}})
	if err != nil {
		return nil, err
	}
	program := filepath.Join(strings.TrimSpace(libexec), "git-daemon")
	d, err := b.start(ctx, "git-daemon", nil, program, "--reuseaddr", "--listen=127.0.0.1", "--port="+strconv.Itoa(port),
		"--base-path="+root, "--export-all", "--enable=receive-pack", "--max-connections="+strconv.Itoa(daemonConnectionsMax), root)
	if err != nil {
		return nil, err
	}
	g := &gitDaemon{daemon: d, root: root, port: port}
	if err := poll(ctx, 10*time.Millisecond, readyTimeout, func() error { return g.dial(ctx) }); err != nil {
		d.stop()
		return nil, fmt.Errorf("git daemon: %w: %s", err, d.lastWords())
	}
	return g, nil
}

func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (g *gitDaemon) dial(ctx context.Context) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(g.port)))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (g *gitDaemon) path(repo string) string { return filepath.Join(g.root, repo) }

func (g *gitDaemon) url(repo string) string {
	return fmt.Sprintf("git://127.0.0.1:%d/%s", g.port, repo)
}
