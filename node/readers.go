package node

import "sync"

// readers counts who reads objects of a repository, so that none goes that
// somebody may still open, and who fetches some that no ref reaches yet.
type readers struct {
	mu sync.Mutex
	// next numbers those who enter; active are those who have not left.
	next   uint64
	active map[uint64]bool
	// fetches counts those that ever began; fetching are those that run.
	fetches  uint64
	fetching int
	// pins are objects that were fetched for an entry that is not in the log yet, or
	// for the table at that index.
	pins map[uint64][][]byte
}

// enter is for whoever is going to list, and to read what it lists. Call the result to leave.
func (r *readers) enter() (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.active == nil {
		r.active = map[uint64]bool{}
	}
	id := r.next
	r.next++
	r.active[id] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.active, id)
	}
}

// mark tells those who entered by now from those who will.
func (r *readers) mark() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// olderThan says whether somebody who entered before mark is still there. The
// caller holds mu.
func (r *readers) olderThan(mark uint64) bool {
	for id := range r.active {
		if id < mark {
			return true
		}
	}
	return false
}

// fetch is for whoever brings objects into the store that nothing reaches yet, or
// finds them there.
func (r *readers) fetch() (end func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetches++
	r.fetching++
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fetching--
	}
}

// pin keeps objects until the entry, or the table, is published.
func (r *readers) pin(index uint64, oids [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pins == nil {
		r.pins = map[uint64][][]byte{}
	}
	r.pins[index] = oids
}

// pinned lists what is pinned, and forgets what is published.
func (r *readers) pinned(published uint64) (list [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for index, oids := range r.pins {
		if index <= published {
			delete(r.pins, index)
		}
		list = append(list, oids...)
	}
	return list
}
