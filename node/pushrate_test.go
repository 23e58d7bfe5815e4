package node

import (
	"encoding/binary"
	"testing"
	"time"

	"peer/identity"
)

// A key has a burst, and then as many pushes as the clock gives it; what one does is no
// matter to another.
func TestPushRates(t *testing.T) {
	t.Parallel()
	now := time.Now()
	r := newPushRates(2, 3, func() time.Time { return now })
	key := func(i int) (k identity.PublicKey) {
		binary.BigEndian.PutUint64(k[:], uint64(i))
		return k
	}
	takes := func(i, n int) {
		t.Helper()
		for range n {
			if wait := r.take(key(i)); wait != 0 {
				t.Errorf("must wait for %v", wait)
			}
		}
		if wait := r.take(key(i)); wait <= 0 || wait > 500*time.Millisecond {
			t.Errorf("after %d pushes: wait %v", n, wait)
		}
	}
	takes(1, 3)
	takes(2, 3)
	now = now.Add(500 * time.Millisecond)
	takes(1, 1)
	now = now.Add(250 * time.Millisecond)
	takes(1, 0)
	now = now.Add(250 * time.Millisecond)
	takes(1, 1)
	now = now.Add(time.Hour) // fills it no more than full
	takes(1, 3)

	for i := range rateKeysMax + 100 {
		if wait := r.take(key(10 + i)); wait != 0 {
			t.Fatalf("key %d must wait", i)
		}
		if i%100 == 0 { // who pushes is not forgotten, however many others do
			takes(1, 0)
		}
	}
	if len(r.of) != rateKeysMax || r.recent.Len() != rateKeysMax {
		t.Errorf("%d and %d keys are remembered, want %d", len(r.of), r.recent.Len(), rateKeysMax)
	}
}
