package node

import (
	"container/list"
	"fmt"
	"math"
	"sync"
	"time"

	"peer/identity"
	"peer/wire"
)

// rateKeysMax is how many keys are remembered. One that is forgotten has all its pushes
// again, for which as many others must have pushed meanwhile.
const rateKeysMax = 4096

// pushRates gives each key a bucket of pushes, which fills steadily. It is for what a
// leader would propose: every entry costs all replicas a write, and 65,536 of them are
// the window in which others' pushes must commit.
type pushRates struct {
	perSecond float64
	burst     float64
	now       func() time.Time // monotonic

	mu sync.Mutex
	of map[identity.PublicKey]*list.Element
	// recent are the buckets, the one that was used last in front.
	recent *list.List
}

type pushBucket struct {
	key  identity.PublicKey
	left float64
	at   time.Time // when that much was left
}

func newPushRates(perSecond, burst float64, now func() time.Time) *pushRates {
	return &pushRates{perSecond: perSecond, burst: burst, now: now, of: map[identity.PublicKey]*list.Element{}, recent: list.New()}
}

// take takes one push out of a key's bucket, or says how long it takes until there is one.
func (r *pushRates) take(key identity.PublicKey) (wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	b := r.bucket(key, now)
	b.left = min(r.burst, b.left+now.Sub(b.at).Seconds()*r.perSecond)
	b.at = now
	if b.left < 1 {
		return time.Duration((1 - b.left) / r.perSecond * float64(time.Second))
	}
	b.left--
	return 0
}

// giveBack undoes a take of what did not get into the log after all.
func (r *pushRates) giveBack(key identity.PublicKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.of[key]; e != nil { // else it has been forgotten, and has all
		b := e.Value.(*pushBucket)
		b.left = min(r.burst, b.left+1)
	}
}

func (r *pushRates) bucket(key identity.PublicKey, now time.Time) *pushBucket {
	if e := r.of[key]; e != nil {
		r.recent.MoveToFront(e)
		return e.Value.(*pushBucket)
	}
	if r.recent.Len() >= rateKeysMax {
		oldest := r.recent.Remove(r.recent.Back()).(*pushBucket)
		delete(r.of, oldest.key)
	}
	b := &pushBucket{key: key, left: r.burst, at: now}
	r.of[key] = r.recent.PushFront(b)
	return b
}

// admitRate refuses a push for now whose key has pushed too often. It is asked about
// transactions that would go into the log, and those that don't after all give back what
// they took: whoever sends somebody's earlier ones again spends nothing of theirs, be they
// in the log or without the objects that they need.
func (u *push) admitRate() error {
	wait := u.n.rates.take(u.signer)
	if wait == 0 {
		return nil
	}
	return failure(wire.FailureCode_FAILURE_BUSY,
		fmt.Sprintf("%s pushes more than %g times a second to what replica %s leads", u.signer.DID(), u.n.rates.perSecond, u.n.self),
		fmt.Sprintf("nothing was changed; push again in %.0f s", math.Ceil(wait.Seconds())))
}
