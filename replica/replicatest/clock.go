package replicatest

import (
	"container/heap"
	"time"
)

// clock is virtual time: a queue of what happens when. Events of one instant
// run in the order in which they were scheduled.
type clock struct {
	now   time.Duration
	order uint64
	queue eventHeap
}

type event struct {
	at    time.Duration
	order uint64
	run   func()
}

func (c *clock) after(d time.Duration, run func()) {
	c.order++
	heap.Push(&c.queue, event{c.now + d, c.order, run})
}

// next runs the next event.
func (c *clock) next() {
	e := heap.Pop(&c.queue).(event)
	c.now = e.at
	e.run()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(e any)   { *h = append(*h, e.(event)) }
func (h *eventHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = event{} // or its closure would live on
	*h = (*h)[:last]
	return e
}
