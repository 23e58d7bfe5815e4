package cmd

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// failAt makes the hook that tests use to end the process at a persist point:
// NAME, or NAME:N for the n-th time. It kills, so that nothing is tidied up.
func failAt(spec string) func(string) {
	if spec == "" {
		return nil
	}
	name, count, _ := strings.Cut(spec, ":")
	nth, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		nth = 1
	}
	var seen atomic.Int64
	return func(point string) {
		if point == name && seen.Add(1) == nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // the signal is on its way
		}
	}
}

// logKeep reads how many entries a log keeps for members that lag; 0, the
// default, for anything else. Tests make it small to see snapshots.
func logKeep(env string) uint64 {
	n, err := strconv.ParseUint(env, 10, 32)
	if err != nil {
		return 0
	}
	return n
}

// duration reads how long or how often; zero, for the default, where nothing sensible is said.
func duration(env string) time.Duration {
	d, err := time.ParseDuration(env)
	if err != nil || d < 0 {
		return 0
	}
	return d
}
