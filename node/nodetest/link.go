package nodetest

import (
	"sync"
	"time"
)

// link is one direction between two hosts.
type link struct {
	bell  bell
	mu    sync.Mutex
	cut   bool
	delay time.Duration // of each byte
}

func (l *link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *link) set(cut bool) {
	l.mu.Lock()
	l.cut = cut
	l.mu.Unlock()
	l.bell.ring()
}

func (l *link) takes() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.delay
}

func (l *link) slow(delay time.Duration) {
	l.mu.Lock()
	l.delay = delay
	l.mu.Unlock()
}
