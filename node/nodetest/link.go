package nodetest

import "sync"

// link is one direction between two hosts.
type link struct {
	bell bell
	mu   sync.Mutex
	cut  bool
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
