package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine is what the numbers were taken on.
type machine struct {
	Cores      int     `json:"cores"`
	Go         string  `json:"go"`
	Git        string  `json:"git"`
	Peer       string  `json:"peer"`
	FsyncMs    summary `json:"fsync_ms"` // of a file that was appended to, 4 KiB at a time
	LoadBefore string  `json:"load_before"`
	LoadAfter  string  `json:"load_after"`
	Quick      bool    `json:"quick"` // small test data: the ratios mean nothing
}

// machine describes this one. What can't be found out stays empty.
func (b *bench) machine(ctx context.Context) *machine {
	m := &machine{Cores: runtime.NumCPU(), Go: runtime.Version(), LoadBefore: loadAverage(), Quick: b.cfg.quick}
	if out, _, err := b.run(ctx, command{args: []string{"git", "--version"}}); err == nil {
		m.Git = strings.TrimPrefix(strings.TrimSpace(out), "git version ")
	}
	if out, _, err := b.run(ctx, command{args: []string{b.peer, "version"}}); err == nil {
		m.Peer = strings.TrimPrefix(strings.TrimSpace(out), "peer ")
	}
	if series, err := fsyncSeries(b.dir, 200); err == nil {
		m.FsyncMs = summarize(series)
	}
	return m
}

// fsyncSeries measures how long a flush takes where the repositories are.
func fsyncSeries(dir string, n int) ([]float64, error) {
	path := filepath.Join(dir, "fsync")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	defer file.Close()
	block := make([]byte, 4<<10)
	var series []float64
	for range n {
		if _, err := file.Write(block); err != nil {
			return nil, err
		}
		start := time.Now()
		if err := file.Sync(); err != nil {
			return nil, err
		}
		series = append(series, milliseconds(time.Since(start)))
	}
	return series, nil
}

// loadAverage is of one, five and fifteen minutes.
func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(raw))
	return strings.Join(fields[:min(3, len(fields))], " ")
}
