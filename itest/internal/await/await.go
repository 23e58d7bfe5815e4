// Package await waits for conditions, with a deadline.
package await

import (
	"testing"
	"time"
)

// pause is between one look and the next.
const pause = 50 * time.Millisecond

// Eventually polls until check has nothing to object, and fails the test when the
// time is up.
func Eventually(t testing.TB, timeout time.Duration, check func() error) {
	t.Helper()
	if err := Poll(timeout, check); err != nil {
		t.Fatalf("not after %v: %v", timeout, err)
	}
}

// Poll returns nil as soon as check does, or its last error when the time is up.
func Poll(timeout time.Duration, check func() error) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(pause) {
		err := check()
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
