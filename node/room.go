package node

import (
	"fmt"
	"sync"
	"time"

	"peer/identity"
	"peer/wire"
)

// usedAge is how old the sum of what repositories take may be.
const usedAge = 10 * time.Second

// usage remembers what the repositories take.
type usage struct {
	mu    sync.Mutex
	at    time.Time
	bytes int64
}

// used is what all repositories take, as of a few seconds ago.
func (n *Node) used() int64 {
	n.usage.mu.Lock()
	defer n.usage.mu.Unlock()
	if n.usage.at.IsZero() || time.Since(n.usage.at) > usedAge {
		n.usage.bytes = 0
		for _, g := range n.allGroups() {
			n.usage.bytes += g.bytes()
		}
		n.usage.at = time.Now()
	}
	return n.usage.bytes
}

// room is what is left for repositories, and why not more.
func (n *Node) room() (left int64, why string) {
	if free := FreeBytes(n.cfg.ReposDir); free >= 0 {
		left, why = free-n.cfg.FreeBytesMin, fmt.Sprintf("%d MiB are left on its disk, and it keeps %d MiB free", free>>20, n.cfg.FreeBytesMin>>20)
	} else {
		left = 1 << 62 // nobody can tell
	}
	if n.cfg.RoomBytes > 0 {
		if used := n.used(); n.cfg.RoomBytes-used < left {
			left, why = n.cfg.RoomBytes-used, fmt.Sprintf("its owner gives repositories %d MiB, and they take %d MiB", n.cfg.RoomBytes>>20, used>>20)
		}
	}
	return left, why
}

// roomForPack refuses a pack when the disk has no room for one.
func (n *Node) roomForPack() error {
	if left, why := n.room(); left < 0 {
		return n.errDiskFull(": " + why)
	}
	return nil
}

// errDiskFull is the refusal of a push for which this replica has no room, however
// that was noticed. detail continues the sentence, or is empty.
func (n *Node) errDiskFull(detail string) error {
	return failure(wire.FailureCode_FAILURE_DISK, fmt.Sprintf("the disk of replica %s is full%s", n.self, detail),
		"nothing was changed; make room on that machine, then push again")
}

// lookForRoom notes whether there is room for pushes. Once there was none,
// somewhat more than the least is needed, so that leaders don't change to and fro.
func (n *Node) lookForRoom() {
	least := int64(0)
	if n.ails.isFull() {
		least = n.cfg.FreeBytesMin / 8
	}
	left, why := n.room()
	full := left < least
	if !n.ails.setFull(full) {
		return
	}
	if full {
		n.log.Warn("too little room for pushes; others should lead", "why", why)
	} else {
		n.log.Info("room for pushes again", "MiB", left>>20)
	}
	n.ailingChanged(n.self)
}

// mayHost says why this node takes no replica of a repository of owner's, nil if it does.
func (n *Node) mayHost(repo identity.RepoID, owner []byte, name string) error {
	if n.cfg.Hosts == nil {
		return nil
	}
	key, err := identity.ParsePublicKey(owner)
	if err != nil || identity.NewRepoID(key, name) != repo {
		return errBadRequest("whose repository is it? This node takes those of some people only")
	}
	if !n.cfg.Hosts(key) {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, fmt.Sprintf("node %s takes no repositories of %s", n.self, key.DID()),
			"its owner can: peer node --accept known, and peer id alias NAME "+key.DID())
	}
	return nil
}

// Hosting is how much room this node has for repositories.
type Hosting struct {
	Used, Left int64 // bytes
	Why        string
}

// Hosting says how much room there is.
func (n *Node) Hosting() Hosting {
	left, why := n.room()
	return Hosting{Used: n.used(), Left: max(left, 0), Why: why}
}
