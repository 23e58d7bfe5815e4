package container

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"peer/itest/internal/binary"
	"peer/itest/internal/people"
)

// Somebody follows docs/deploy.md with systemd, from machines that have nothing of
// peer to the replacement of one that is lost. There is no systemd here: a stand-in
// for systemctl runs the unit, and says which of its lines it can't apply.
//
//	192.0.2.1 ─┬─ 192.0.2.2        192.0.2.4, later, takes the place of 192.0.2.3
//	           ├─ 192.0.2.3 ✗
//	           └┄ Ann's laptop
func TestDeployWithSystemd(t *testing.T) {
	t.Parallel()
	g := readGuide(t, "With systemd", "People", "Looking after it")
	c := newCluster(t, options{none: true})
	bare := map[string]*machine{}
	for i := range 4 {
		where := fmt.Sprintf("192.0.2.%d", i+1)
		bare[where] = c.bareMachine(where, i+1)
	}
	laptop := c.bareMachine("laptop", 9)
	ann := &people.Person{Place: laptop, Dir: "/people/ann", Env: []string{"PEER_HOME=/people/ann/home"}}
	ann.Write("empty", nil)

	inner := strings.TrimSuffix(c.net.Addr().String(), "0") + "1" // 192.0.2.3 is 10.213.x.13
	typed := func(where string, s step) {
		t.Helper()
		script := strings.ReplaceAll(g.filled(s), "192.0.2.", inner)
		var r people.Result
		if where == "Ann's laptop" {
			r = ann.Run("", "sh", "-euc", script)
		} else {
			r = bare[where].exec(asRoot, people.Command{Dir: "/root", Env: []string{"HOME=/root"},
				Args: []string{"timeout", "180", "sh", "-euc", "unset PEER_HOME\n" + script}})
		}
		if g.heard(r.Out + r.Err); r.Code != 0 {
			t.Fatalf("on %s: %v\n%v", where, s, r)
		}
	}
	for _, s := range g.steps {
		switch {
		case strings.HasPrefix(s.on[0], "the machine with the source"):
			t.Logf("not typed, since the harness has built and brought it: %v", s)
			continue
		case s.heading == "When a machine dies" && bare["the new 192.0.2.3"] == nil:
			bare["the new 192.0.2.3"] = c.replaceMachine(bare["192.0.2.3"])
			typed("the new 192.0.2.3", g.steps[1]) // "as above, up to daemon-reload"
		case strings.Contains(s.script, "OLD="):
			// The fourth machine joins as the third did.
			typed("192.0.2.1", step{"invite", nil, "sudo -u peer peer --home /var/lib/peer invite\n"})
			typed("192.0.2.4", g.steps[1])
			third := g.step("192.0.2.3")
			third.script = strings.ReplaceAll(third.script, "192.0.2.3", "192.0.2.4")
			typed("192.0.2.4", third)
			g.paste["OLD"], g.paste["NEW"] = bare["the new 192.0.2.3"].nodeID(t), bare["192.0.2.4"].nodeID(t)
		}
		for _, where := range s.on {
			typed(where, s)
		}
	}
	if r := ann.Run("hello", "git", "ls-remote", "origin", "refs/heads/main"); r.Code != 0 || r.Stale() || r.Out == "" {
		t.Errorf("in the end Ann sees: %v", r)
	}
	owner := &people.Person{Place: bare["192.0.2.1"], Dir: "/tmp", Home: homeDir}
	if said := owner.Peer("repo", "show", "hello"); !strings.Contains(said, g.paste["NEW"]) || strings.Contains(said, g.paste["OLD"]) {
		t.Errorf("the fourth machine did not take the place of the third:\n%s", said)
	}
}

// step is the only one that is typed just there, and has something pasted.
func (g *guide) step(where string) step {
	for _, s := range g.steps {
		if slices.Equal(s.on, []string{where}) && strings.Contains(s.script, "INVITATION=") {
			return s
		}
	}
	g.t.Fatalf("no block of docs/deploy.md is typed on %s alone", where)
	return step{}
}

// bareMachine is a machine without peer, with what the guide brings there in
// /root, and stand-ins for what its image lacks.
func (c *cluster) bareMachine(name string, last int) *machine {
	c.t.Helper()
	m := &machine{c: c, name: name, ip: c.address(10 + last)}
	c.startBare(m)
	return m
}

func (c *cluster) startBare(m *machine) {
	c.t.Helper()
	var files []testcontainers.ContainerFile
	for _, name := range []string{"systemctl", "sudo"} {
		files = append(files, testcontainers.ContainerFile{HostFilePath: filepath.Join("testdata", name), ContainerFilePath: "/usr/local/sbin/" + name, FileMode: 0o755})
	}
	files = append(files, testcontainers.ContainerFile{HostFilePath: filepath.Join(binary.SourceDir(), "deploy", "peer.service"), ContainerFilePath: "/peer.service", FileMode: 0o644})
	err := c.run(m, testcontainers.WithEntrypoint("sleep", "infinity"), testcontainers.WithFiles(files...),
		testcontainers.WithConfigModifier(func(config *container.Config) {
			config.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}}
		}))
	if err == nil {
		err = m.root("", "sh", "-ec", `mkdir -p /root /etc/systemd/system && chmod 0700 /root && mv /peer.service /root/ && cp /usr/local/bin/peer /root/peer`)
	}
	if err == nil && m.name != "laptop" {
		err = m.root("", "sh", "-ec", `rm /usr/local/bin/peer /usr/local/bin/git-peer /usr/local/bin/git-remote-peer`)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// replaceMachine loses a machine with its disk, and puts another one at its address,
// where somebody brings the backup.
func (c *cluster) replaceMachine(m *machine) *machine {
	c.t.Helper()
	kept := m.exec(asRoot, people.Command{Args: []string{"cat", "/root/peer-backup.tar"}})
	lost := &node{machine: m}
	if err := c.powerLoss(lost); err != nil {
		c.t.Fatal(err)
	}
	if err := lost.remove(); err != nil {
		c.t.Fatal(err)
	}
	c.forget(m)
	if err := c.heal(); err != nil {
		c.t.Fatal(err)
	}
	next := &machine{c: c, name: m.name + "-new", ip: m.ip}
	c.startBare(next)
	if err := next.root(kept.Out, "sh", "-c", "cat >/root/peer-backup.tar"); err != nil {
		c.t.Fatal(err)
	}
	return next
}

// forget is for a machine that is gone, whose address another one gets.
func (c *cluster) forget(m *machine) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.machines = slices.DeleteFunc(c.machines, func(other *machine) bool { return other == m })
}

// nodeID is the peer ID of the node that runs there.
func (m *machine) nodeID(t *testing.T) string {
	t.Helper()
	p := &people.Person{Place: m, Dir: "/tmp", Home: homeDir}
	status, err := p.Status()
	if err != nil {
		t.Fatal(err)
	}
	return status.PeerID
}

// Somebody follows docs/deploy.md with compose. The three machines are addresses of
// this one's loopback, each with a directory of its own.
//
//	127.x.y.1 ─┬─ 127.x.y.2
//	           └─ 127.x.y.3
func TestDeployWithCompose(t *testing.T) {
	t.Parallel()
	needs(t, haveCompose())
	g := readGuide(t, "With compose")
	loop := fmt.Sprintf("127.%d.%d.", 1+os.Getpid()>>8&0x7f, os.Getpid()&0xff)
	shim, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	real, err := exec.LookPath("docker")
	if err != nil {
		t.Fatal(err)
	}
	dirs := map[string]string{}
	for i := range 3 {
		dirs[fmt.Sprintf("192.0.2.%d", i+1)] = composeDir(t, i+1)
	}
	env := append(os.Environ(), "DOCKER="+real, "PATH="+shim+":"+os.Getenv("PATH"),
		"PEER_IMAGE="+docker.image, "PEER_GIT_PORT=0") // one machine, three nodes
	run := func(dir, script string) (string, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-euc", script)
		cmd.Dir, cmd.Env, cmd.WaitDelay = dir, env, 10*time.Second
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	t.Cleanup(func() {
		for where, dir := range dirs {
			logs, _ := run(dir, "PEER_SECRET= docker compose logs --no-color")
			if t.Failed() {
				t.Logf("%s:\n%s", where, tail(logs))
			}
			if said, err := run(dir, "PEER_SECRET= docker compose down -v -t 5"); err != nil {
				t.Errorf("%v\n%s", err, said)
			}
		}
	})
	for _, s := range g.steps {
		for _, where := range s.on {
			said, err := run(dirs[where], strings.ReplaceAll(g.filled(s), "192.0.2.", loop))
			if g.heard(said); err != nil {
				t.Fatalf("on %s: %v\n%v\n%s", where, s, err, said)
			}
		}
	}
}

// composeDir is what a machine has of the source, with labels by which leftovers
// are found.
func composeDir(t *testing.T, i int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprintf("peer-itest-%d-%d", os.Getpid(), i))
	raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), "compose.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var labels strings.Builder
	for key, value := range docker.labels("") {
		fmt.Fprintf(&labels, "      %s: %q\n", key, value)
	}
	override := "services:\n  node:\n    labels:\n" + labels.String() + "volumes:\n  home:\n    labels:\n" + labels.String()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{"compose.yaml": string(raw), "docker-compose.override.yml": override} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// haveCompose says why docker compose can't be run.
func haveCompose() error {
	if exec.Command("docker", "compose", "version").Run() == nil {
		return nil
	}
	if _, err := exec.LookPath("docker-compose"); err != nil {
		return errNoCompose
	}
	return nil
}

// The unit is one that systemd understands, and leaves a node little to do harm with.
func TestUnit(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-analyze")
	if err != nil {
		needs(t, errNoSystemd)
	}
	raw, err := os.ReadFile(filepath.Join(binary.SourceDir(), "deploy", "peer.service"))
	if err != nil {
		t.Fatal(err)
	}
	// It wants the program to be there.
	unit := filepath.Join(t.TempDir(), "peer.service")
	text := strings.Replace(string(raw), "/usr/local/bin/peer", "/bin/true", 1)
	if err := os.WriteFile(unit, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	const exposureMax = "20" // of 100
	for _, args := range [][]string{
		{"verify", "--man=no", "--recursive-errors=no", unit},
		{"security", "--offline=true", "--no-pager", "--threshold=" + exposureMax, unit},
	} {
		said, err := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		if err != nil || args[0] == "verify" && len(said) > 0 {
			t.Errorf("systemd-analyze %s: %v\n%s", args[0], err, said)
		}
	}
}
