package itest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/people"
)

// person runs git and peer with a home: that of a node, or one without.
type person struct {
	*people.Person
	c *cluster
}

// at is the user of node i.
func (c *cluster) at(i int) *person { return c.nodes[i].user }

// person is somebody who has a home. Their own directory is not in it.
func (c *cluster) person(home string) *person {
	dir := filepath.Join(c.dir, "user-of-"+filepath.Base(home))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	return c.personIn(home, dir)
}

func (c *cluster) personIn(home, dir string) *person {
	return &person{Person: &people.Person{Place: c, Home: home, Dir: dir}, c: c}
}

// guest is somebody with a home but no node: the helper reaches the network by
// itself. key is the path of a private key, or empty for a fresh one.
func (c *cluster) guest(name, key string) *person {
	c.t.Helper()
	home := filepath.Join(c.dir, name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		c.t.Fatal(err)
	}
	config := map[string]any{}
	raw, err := os.ReadFile(filepath.Join(c.nodes[0].home, "config.json"))
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	peers, _ := config["peer"].([]any)
	config["peer"] = append(peers, fmt.Sprintf("%s/p2p/%s", c.nodes[0].listens(), c.nodes[0].peerID))
	config["listen"], config["git-port"] = []string{"/ip4/127.0.0.1/tcp/0"}, 0 // should they run a node
	if raw, err = json.Marshal(config); err == nil {
		err = os.WriteFile(filepath.Join(home, "config.json"), raw, 0o600)
	}
	if err == nil && key != "" {
		err = os.Symlink(key, filepath.Join(home, "key"))
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return c.person(home)
}

// baseEnv is the whole environment of a command: nothing of the caller's gets in.
func (c *cluster) baseEnv() []string {
	path := filepath.Join(c.dir, "bin")
	if git, err := exec.LookPath("git"); err == nil {
		path += ":" + filepath.Dir(git)
	}
	return []string{"PATH=" + path + ":/usr/local/bin:/usr/bin:/bin", "TMPDIR=" + os.TempDir()}
}

// Test implements [people.Place].
func (c *cluster) Test() testing.TB { return c.t }

// Run implements [people.Place].
func (c *cluster) Run(ctx context.Context, what people.Command) (r people.Result) {
	cmd := c.command(ctx, what)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(what.Input), &out, &errs
	err := cmd.Run()
	r.Out, r.Err = out.String(), errs.String()
	if err != nil {
		r.Code = -1
		if exit := new(exec.ExitError); errors.As(err, &exit) {
			r.Code = exit.ExitCode()
		} else {
			r.Err += err.Error()
		}
	}
	return r
}

// command prepares a command in a process group of its own, which is killed
// whole when ctx ends.
func (c *cluster) command(ctx context.Context, what people.Command) *exec.Cmd {
	args := append([]string{}, what.Args...)
	if args[0] == "peer" {
		args[0] = c.peer()
	}
	args = c.within(-1, args...)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = what.Dir, append(c.baseEnv(), what.Env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// WriteFile implements [people.Place].
func (c *cluster) WriteFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}
