package store

import (
	"container/list"

	pb "go.etcd.io/raft/v3/raftpb"
)

// Raft reads each entry back at least once after it was saved, to apply it, and
// once more for every follower that is behind.
const (
	recentBytesMax = 1 << 20  // of one log
	cacheBytesMax  = 16 << 20 // of all logs
	entryCost      = 200      // what an entry takes in memory besides its data
)

// cache bounds the recent entries of all logs together: the log that was used
// longest ago loses all of its own. Guarded by Store.mu.
type cache struct {
	bytes int
	order list.List // of *Log, the last used first
	where map[*Log]*list.Element
}

func (c *cache) touch(l *Log) {
	if at, ok := c.where[l]; ok {
		c.order.MoveToFront(at)
	}
}

// extend keeps what is cached of l below the first of entries, and adds these.
// Where that is too much, the older entries go.
func (c *cache) extend(l *Log, entries []*pb.Entry) {
	from, ok := l.firstRecent()
	first := entries[0].GetIndex()
	if !ok || first < from || first > from+uint64(len(l.recent)) {
		c.drop(l)
	} else {
		c.resize(l, l.recent[:first-from])
	}
	c.resize(l, append(l.recent, entries...))
	at, ok := c.where[l]
	if !ok {
		if c.where == nil {
			c.where = map[*Log]*list.Element{}
		}
		at = c.order.PushFront(l)
		c.where[l] = at
	}
	c.order.MoveToFront(at)
	for c.bytes > cacheBytesMax {
		c.drop(c.order.Back().Value.(*Log))
	}
}

// resize sets what is cached of l, which begins like what is cached already.
func (c *cache) resize(l *Log, recent []*pb.Entry) {
	size := l.bytes
	for i := len(l.recent); i < len(recent); i++ {
		size += cost(recent[i])
	}
	for i := len(recent); i < len(l.recent); i++ {
		size -= cost(l.recent[i])
		l.recent[i] = nil
	}
	for size > recentBytesMax {
		size -= cost(recent[0])
		recent[0] = nil // or it could not be freed
		recent = recent[1:]
	}
	c.bytes += size - l.bytes
	l.recent, l.bytes = recent, size
}

// forget removes what the log has forgotten.
func (c *cache) forget(l *Log, upTo uint64) {
	from, ok := l.firstRecent()
	if !ok || upTo < from {
		return
	}
	n := min(upTo-from+1, uint64(len(l.recent)))
	for i := range l.recent[:n] {
		l.bytes -= cost(l.recent[i])
		c.bytes -= cost(l.recent[i])
		l.recent[i] = nil
	}
	l.recent = l.recent[n:]
}

func (c *cache) drop(l *Log) {
	if at, ok := c.where[l]; ok {
		c.order.Remove(at)
		delete(c.where, l)
	}
	c.bytes -= l.bytes
	l.recent, l.bytes = nil, 0
}

func cost(e *pb.Entry) int { return len(e.GetData()) + entryCost }

// firstRecent is the index from which on entries are cached.
func (l *Log) firstRecent() (index uint64, ok bool) {
	if len(l.recent) == 0 {
		return 0, false
	}
	return l.recent[0].GetIndex(), true
}
