package nodetest

import (
	"errors"
	"sync"
	"time"

	"peer/identity"
	"peer/node"
	"peer/replica"
)

// errDead is what a process gets from the disk after its death.
var errDead = errors.New("this process is dead")

// barred is a store as one process uses it. After the death of the process
// nothing that it writes gets through; what it reads stays as it was, so that it
// can come to its end in peace.
type barred struct {
	node.Store
	syncTakes time.Duration
	mu        sync.RWMutex // held for reading while something is written
	dead      bool
}

// die returns when all writes that were under way are done.
func (b *barred) die() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dead = true
}

func (b *barred) alive() bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return !b.dead
}

func (b *barred) write(f func() error) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.dead {
		return errDead
	}
	return f()
}

func (b *barred) Save(turn []replica.Save) error {
	time.Sleep(b.syncTakes) // whoever dies meanwhile has saved nothing
	return b.write(func() error { return b.Store.Save(turn) })
}

func (b *barred) PutSeat(repo identity.RepoID, nonce []byte, at time.Time) error {
	return b.write(func() error { return b.Store.PutSeat(repo, nonce, at) })
}

func (b *barred) DropSeat(repo identity.RepoID) error {
	return b.write(func() error { return b.Store.DropSeat(repo) })
}

func (b *barred) Put(key string, value []byte) error {
	return b.write(func() error { return b.Store.Put(key, value) })
}
