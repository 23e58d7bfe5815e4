package main

import (
	"os"
	"runtime"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	for _, c := range []struct {
		name, stat string
		want       time.Duration
		fails      bool
	}{
		{name: "plain", stat: "7 (peer) S 1 7 7 0 -1 4194560 1 2 3 4 10 20 300 4000 20 0 12 0 99 0", want: 43300 * time.Millisecond},
		{name: "nasty name", stat: "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 1 0 0 0 20 0", want: 10 * time.Millisecond},
		{name: "short", stat: "7 (peer) S 1 7 7 0", fails: true},
		{name: "empty", stat: "", fails: true},
		{name: "no number", stat: "7 (peer) S 1 7 7 0 -1 4194560 1 2 3 4 x 0 0 0 20 0", fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseStat([]byte(c.stat))
			if got != c.want && err == nil || (err != nil) != c.fails {
				t.Errorf("parseStat = %v, %v; want %v, failure %v", got, err, c.want, c.fails)
			}
		})
	}
}

func TestParseStatus(t *testing.T) {
	got, err := parseStatus("Name:\tpeer\nVmHWM:\t   60 kB\nVmRSS:\t   50 kB\nRssAnon:\t   30 kB\nRssFile:\t 20 kB\n")
	if want := (memory{anon: 30 << 10, resident: 50 << 10, highWater: 60 << 10}); got != want || err != nil {
		t.Errorf("parseStatus = %+v, %v; want %+v", got, err, want)
	}
	if _, err := parseStatus("Name:\tpeer\nState:\tZ (zombie)\n"); err == nil {
		t.Error("a zombie has memory")
	}
}

func TestOwnProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	m, err := memoryOf(os.Getpid())
	if err != nil || m.anon <= 0 || m.resident < m.anon || m.highWater < m.resident {
		t.Errorf("memory of this process: %+v, %v", m, err)
	}
	burnt := time.Now()
	for time.Since(burnt) < 60*time.Millisecond {
		continue
	}
	if cpu, err := cpuOf([]int{os.Getpid()}); err != nil || cpu < 2*cpuTick {
		t.Errorf("CPU time of this process: %v, %v", cpu, err)
	}
	if _, err := cpuOf([]int{1 << 30}); err == nil {
		t.Error("a process that does not exist has CPU time")
	}
}
