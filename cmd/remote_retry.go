package cmd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"peer/node/control"
	"peer/wire"
)

const (
	pauseMin = 50 * time.Millisecond // a group whose leader died has a new one after 10 ms
	pauseMax = time.Second

	pushPatience  = 60 * time.Second // PEER_PUSH_TIMEOUT changes it
	fetchPatience = 10 * time.Second // PEER_FETCH_TIMEOUT does; without a leader a replica answers stale after one second
)

// patience spaces out retries and says when to give up. Its clock starts with
// the first failure, so that a push of an hour may still be tried again.
type patience struct {
	total time.Duration
	until time.Time
	pause time.Duration
}

// wait sleeps before the next try. False: the time is up, or ctx has ended.
func (p *patience) wait(ctx context.Context) bool {
	if p.until.IsZero() {
		p.until, p.pause = time.Now().Add(p.total), pauseMin
	}
	// A little jitter keeps clients that lost the same leader apart.
	pause := p.pause + rand.N(p.pause/4)
	p.pause = min(2*p.pause, pauseMax)
	if time.Now().Add(pause).After(p.until) {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// retryReason is what a person reads while we try again.
func retryReason(err error) string {
	var refusal *control.Error
	if errors.As(err, &refusal) {
		switch refusal.Code {
		case wire.FailureCode_FAILURE_NO_QUORUM:
			return "no majority of the replicas answers, retrying"
		case wire.FailureCode_FAILURE_BUSY:
			return "the replica is busy, retrying"
		}
	}
	var unproved *unprovedError
	if errors.As(err, &unproved) {
		return "too few voters vouch for what the replica lists, retrying"
	}
	return "leader changed, retrying"
}
