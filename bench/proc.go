package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// cpuTick is the unit of times in /proc/PID/stat: USER_HZ, which is 100 on every
// Linux that Go runs on.
const cpuTick = 10 * time.Millisecond

// cpuOf sums the CPU time of processes and of their children that have ended and
// been waited for.
func cpuOf(pids []int) (time.Duration, error) {
	var sum time.Duration
	for _, pid := range pids {
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		d, err := parseStat(raw)
		if err != nil {
			return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
		}
		sum += d
	}
	return sum, nil
}

// parseStat sums utime, stime, cutime and cstime, fields 14 to 17. The second
// field is a name in parentheses, which may hold anything, these included.
func parseStat(raw []byte) (time.Duration, error) {
	end := bytes.LastIndexByte(raw, ')')
	fields := strings.Fields(string(raw[end+1:]))
	const first, last = 14 - 3, 17 - 3 // fields holds the third and all after it
	if end < 0 || len(fields) <= last {
		return 0, fmt.Errorf("unexpected stat %.80q", raw)
	}
	var sum time.Duration
	for _, f := range fields[first : last+1] {
		ticks, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		sum += time.Duration(ticks) * cpuTick
	}
	return sum, nil
}

// memory is what /proc/PID/status says of a process, in bytes.
type memory struct {
	anon      int64 // RssAnon: what it really keeps; mapped files are not in it
	resident  int64 // VmRSS
	highWater int64 // VmHWM: the largest VmRSS ever
}

func memoryOf(pid int) (memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return parseStatus(string(raw))
}

func parseStatus(text string) (memory, error) {
	var m memory
	fields := map[string]*int64{"RssAnon": &m.anon, "VmRSS": &m.resident, "VmHWM": &m.highWater}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		into := fields[key]
		if into == nil {
			continue
		}
		delete(fields, key)
		n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		if err != nil {
			return m, fmt.Errorf("%s: %w", key, err)
		}
		*into = n << 10
	}
	if len(fields) > 0 {
		return m, fmt.Errorf("status lacks %d of its memory fields: the process has ended", len(fields))
	}
	return m, nil
}

func megabytes(n int64) float64 { return float64(n) / 1e6 }
