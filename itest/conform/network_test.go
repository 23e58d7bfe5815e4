package conform

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"peer/itest/internal/binary"
)

func TestMain(m *testing.M) {
	code := m.Run()
	binary.Remove()
	os.Exit(code)
}

// network is one `peer dev`, which all rows share.
type network struct {
	t    testing.TB
	dir  string // short, since sockets live in it
	home string // of the first node, and of whoever pushes
	git  string // host:port of its listeners
	http string
}

const (
	devNodes     = 3
	startTimeout = 90 * time.Second
	stopTimeout  = 20 * time.Second
)

// untilHungUp runs a command and ends it when stdin closes, which it does in whatever
// way the test ends.
const untilHungUp = `"$@" </dev/null & child=$!; read -r _; kill -TERM $child; wait $child`

func startNetwork(t testing.TB) *network {
	t.Helper()
	built, err := binary.Path()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "peer-cf-")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{t: t, dir: dir, home: filepath.Join(dir, "net", "node1")}
	t.Cleanup(func() {
		if os.Getenv("PEER_KEEP") != "" {
			t.Logf("all stays in %s", dir)
		} else if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	log, err := os.Create(filepath.Join(t.ArtifactDir(), "dev.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", untilHungUp, "sh", built, "dev", "--dir", filepath.Join(dir, "net"), "--nodes", fmt.Sprint(devNodes))
	cmd.Env, cmd.Stderr = n.env(), log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan bool, 1), make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if lines.Text() == "ready" {
				ready <- true
			}
		}
		ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		select {
		case how := <-ended:
			if how != nil {
				t.Errorf("peer dev: %v", how)
			}
		case <-time.After(stopTimeout):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			t.Errorf("peer dev has not ended after %v: %v", stopTimeout, <-ended)
		}
		_ = log.Close()
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("peer dev ended: %v; see %s", err, log.Name())
	case <-time.After(startTimeout):
		t.Fatalf("peer dev is not ready after %v; see %s", startTimeout, log.Name())
	}
	var status struct {
		Git  string `json:"git_addr"`
		HTTP string `json:"http_addr"`
	}
	n.peer(n.dir, &status, "status", "--json")
	n.git, n.http = status.Git, status.HTTP
	return n
}

// env is the whole environment of a command: nothing of the caller's gets in.
func (n *network) env(more ...string) []string {
	path := filepath.Join(n.dir, "bin") + ":" + filepath.Join(n.dir, "net", "bin")
	if git, err := exec.LookPath("git"); err == nil {
		path += ":" + filepath.Dir(git)
	}
	env := []string{
		"PATH=" + path + ":/usr/local/bin:/usr/bin:/bin", "PEER_HOME=" + n.home, "HOME=" + n.dir, "TMPDIR=" + os.TempDir(),
		"LC_ALL=C.UTF-8", "TZ=UTC", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_PAGER=cat", "GIT_PROGRESS_DELAY=3600",
		"GIT_AUTHOR_NAME=Ann", "GIT_AUTHOR_EMAIL=ann@example.org", "GIT_COMMITTER_NAME=Ann", "GIT_COMMITTER_EMAIL=ann@example.org",
	}
	settings := [][2]string{
		{"init.defaultBranch", "main"}, {"gc.auto", "0"}, {"advice.detachedHead", "false"}, {"core.quotePath", "false"},
		// Git asks nobody before it follows a submodule's URL of these.
		{"protocol.peer.allow", "always"}, {"protocol.file.allow", "always"},
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(settings)))
	for i, s := range settings {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, s[1]))
	}
	return append(env, more...)
}

// peer runs a command that prints JSON.
func (n *network) peer(dir string, into any, args ...string) {
	n.t.Helper()
	cmd := exec.Command(filepath.Join(n.dir, "net", "bin", "peer"), args...)
	cmd.Dir, cmd.Env = dir, n.env()
	out, err := cmd.Output()
	if exit := new(exec.ExitError); errors.As(err, &exit) {
		n.t.Fatalf("peer %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err == nil {
		err = json.Unmarshal(out, into)
	}
	if err != nil {
		n.t.Fatalf("peer %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// checkDisks proves that every replica of every repository is whole.
func (n *network) checkDisks() {
	n.t.Helper()
	dirs, err := filepath.Glob(filepath.Join(n.dir, "net", "node*", "repos", "*", "*.git"))
	if err != nil || len(dirs) < devNodes {
		n.t.Fatalf("%d repositories on the disks: %v", len(dirs), err)
	}
	for _, dir := range dirs {
		cmd := exec.Command("git", "-C", dir, "fsck", "--connectivity-only")
		cmd.Env = n.env()
		if out, err := cmd.CombinedOutput(); err != nil {
			n.t.Errorf("%s: %v\n%s", dir, err, out)
		}
	}
}
