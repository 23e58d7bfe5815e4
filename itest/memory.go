package itest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memoryEvery is how often memory is sampled.
const memoryEvery = 20 * time.Millisecond

// memoryPeak is how much memory a kind of process used at most, in KiB. Anonymous
// memory is what counts: mapped files are the page cache's.
type memoryPeak struct{ rss, anon int }

// memoryWatch samples the processes below some roots, by the name of what they
// run, until it is stopped.
type memoryWatch struct {
	roots map[int]string // process ID to a name for it
	stop  chan struct{}
	work  sync.WaitGroup
	peaks map[string]memoryPeak
}

func watchMemory(roots map[int]string) *memoryWatch {
	w := &memoryWatch{roots: roots, stop: make(chan struct{}), peaks: map[string]memoryPeak{}}
	w.work.Go(func() {
		ticker := time.NewTicker(memoryEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				w.sample()
			case <-w.stop:
				return
			}
		}
	})
	return w
}

// end stops sampling and returns the peaks: of each root by its name, and of
// their descendants by root and command, as in "node1: git index-pack".
func (w *memoryWatch) end() map[string]memoryPeak {
	close(w.stop)
	w.work.Wait()
	return w.peaks
}

func (w *memoryWatch) sample() {
	parents := map[int]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if parent := statusField(pid, "PPid:"); parent > 0 {
			parents[pid] = parent
		}
	}
	for pid := range parents {
		for above := pid; above > 1; above = parents[above] {
			name, found := w.roots[above]
			if !found {
				continue
			}
			if pid != above {
				name += ": " + commandOf(pid)
			}
			peak := w.peaks[name]
			w.peaks[name] = memoryPeak{max(peak.rss, statusField(pid, "VmHWM:")), max(peak.anon, statusField(pid, "RssAnon:"))}
			break
		}
	}
}

// statusField is a number in /proc/PID/status; 0 once the process is gone.
func statusField(pid int, field string) int {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), field); ok {
			number, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return number
		}
	}
	return 0
}

// commandOf is a process's program and, for git, its subcommand.
func commandOf(pid int) string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return "?"
	}
	args := strings.Split(strings.TrimSuffix(string(raw), "\x00"), "\x00")
	name := filepath.Base(args[0])
	for _, arg := range args[1:] {
		if name != "git" {
			break
		}
		if !strings.HasPrefix(arg, "-") && !strings.ContainsAny(arg, "=./") {
			return name + " " + arg
		}
	}
	return name
}
