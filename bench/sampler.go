package main

import (
	"context"
	"sync"
	"time"
)

// sampler watches the memory of processes while something goes on.
type sampler struct {
	cancel context.CancelFunc
	done   sync.WaitGroup
	peaks  []memory // as many as processes; read it after stop
}

// sampleEvery is short against what a large push takes, and long enough to cost
// nothing: reading a status is some 20 µs.
const sampleEvery = 20 * time.Millisecond

func watchMemory(ctx context.Context, pids []int) *sampler {
	ctx, cancel := context.WithCancel(ctx)
	s := &sampler{cancel: cancel, peaks: make([]memory, len(pids))}
	s.sample(pids)
	s.done.Go(func() {
		ticker := time.NewTicker(sampleEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				s.sample(pids)
				return
			case <-ticker.C:
				s.sample(pids)
			}
		}
	})
	return s
}

// sample skips a process that has ended: its peaks until then stay.
func (s *sampler) sample(pids []int) {
	for i, pid := range pids {
		m, err := memoryOf(pid)
		if err != nil {
			continue
		}
		p := &s.peaks[i]
		p.anon, p.resident, p.highWater = max(p.anon, m.anon), max(p.resident, m.resident), max(p.highWater, m.highWater)
	}
}

func (s *sampler) stop() []memory {
	s.cancel()
	s.done.Wait()
	return s.peaks
}
