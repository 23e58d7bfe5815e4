package node

import (
	"errors"
	"testing"
)

// Nothing is fetched again and again without a pause, whether fetching fails or what
// was fetched is needed once more. Whoever gets on does not wait.
func TestPace(t *testing.T) {
	t.Parallel()
	p := &pace{}
	getsOn := func(index uint64) {
		t.Helper()
		wait := p.before(index)
		p.fetched(index, nil)
		if wait > 0 || p.pause > 0 {
			t.Errorf("entry %d: waits %v, and then %v, and got on", index, wait, p.pause)
		}
	}
	getsOn(3)
	getsOn(7)
	waited := payloadRetryMin
	for range 20 { // the same once more
		wait := p.before(7)
		p.fetched(7, nil)
		if wait < waited || wait > payloadRetryMax {
			t.Errorf("waits %v after %v", wait, waited)
		}
		waited = wait
	}
	getsOn(8)
	for range 5 { // an earlier one in turn with it
		first := p.before(6)
		p.fetched(6, nil)
		second := p.before(8)
		p.fetched(8, nil)
		if first+second < payloadRetryMin {
			t.Errorf("waits %v and %v", first, second)
		}
	}
	p.fetched(9, errors.New("nobody has it"))
	if p.pause < payloadRetryMin {
		t.Errorf("%v after a failure", p.pause)
	}
	getsOn(9)
}
