package gitd

import (
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// stall is by how long a kernel puts off an acknowledgement at the least.
const stall = 40 * time.Millisecond

// TestNoStall: a stall hits every ls-remote and every fetch or none of them. So
// the fastest of several tells, however busy the machine is.
func TestNoStall(t *testing.T) {
	_, _, p := filled(t, nil)
	fastest := time.Hour
	for round := 0; round < 50 && fastest >= stall; round++ {
		start := time.Now()
		p.ok("", "ls-remote", p.url)
		fastest = min(fastest, time.Since(start))
	}
	if fastest >= stall {
		t.Errorf("the fastest ls-remote took %v", fastest)
	}
}

// BenchmarkStock compares, in turns, a path on disk, git's own daemon, and ours in
// front of the same git. It reports medians.
func BenchmarkStock(b *testing.B) {
	fake, _, p := filled(b, nil)
	stock := "git://" + stockDaemon(b, fake.dir) + "/repo.git"
	ways := []struct{ name, url string }{{"path", fake.dir}, {"daemon", stock}, {"gitd", p.url}}
	took := map[string][]time.Duration{}
	timed := func(name string, dir string, args ...string) {
		start := time.Now()
		p.ok(dir, args...)
		took[name] = append(took[name], time.Since(start))
	}
	for _, w := range ways {
		p.ok("", "clone", "--quiet", w.url, w.name)
	}
	round := 0
	for b.Loop() {
		round++
		p.commit("w", "a", "round "+strconv.Itoa(round))
		p.ok("w", "push", "--quiet", fake.dir, "main")
		for i := range ways {
			w := ways[(round+i)%len(ways)]
			timed(w.name+"-ls-remote", "", "ls-remote", w.url)
			timed(w.name+"-fetch", w.name, "fetch", "--quiet", w.url, "main:refs/remotes/origin/main")
			timed(w.name+"-noop", w.name, "fetch", "--quiet", w.url, "main:refs/remotes/origin/main")
		}
	}
	for name, all := range took {
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, name+"-ms")
	}
}

// stockDaemon serves the directory that holds a repository.
func stockDaemon(b *testing.B, dir string) string {
	b.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := free.Addr().String()
	_ = free.Close()
	_, port, _ := net.SplitHostPort(addr)
	c := exec.Command("git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", "--port="+port, "--base-path="+filepath.Dir(dir))
	c.Env = cleanEnv()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	})
	eventually(b, "the daemon listens", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return addr
}
