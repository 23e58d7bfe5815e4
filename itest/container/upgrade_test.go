package container

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"peer/itest/internal/await"
	"peer/itest/internal/binary"
)

// nextVersion is that of the binary that nodes are upgraded to.
const nextVersion = "v9.9.9-next"

// One node after the other gets another binary, while somebody without a node
// pushes all the time: every push is acknowledged. Who has the new one works with
// who has the old one.
//
//	owner ┄┄ node1 ─── node2      old, then new, one by one
//	(old)       └─ node3 ─┘
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next := filepath.Join(t.TempDir(), "peer")
	if err := binary.BuildVersion(next, nextVersion, "GOOS=linux", "GOARCH="+docker.arch); err != nil {
		t.Fatal(err)
	}
	c := newCluster(t, options{})
	r := c.create("demo", nil)
	ann := r.beginAs(c.ownerAt(c.guest("guest")), "ann")
	var pushes atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var pushing sync.WaitGroup
	defer pushing.Wait()
	defer stop()
	pushing.Go(func() {
		for ; ctx.Err() == nil; pushes.Add(1) {
			if pushed := ann.tryPush("main", ann.next()); pushed.Code != 0 {
				t.Errorf("push %d: %v", pushes.Load(), pushed)
				return
			}
		}
	})
	more := func() {
		t.Helper()
		goal := pushes.Load() + 3
		await.Eventually(t, convergeTimeout, func() error {
			if now := pushes.Load(); now < goal {
				return fmt.Errorf("%d pushes so far", now)
			}
			return nil
		})
	}
	for _, n := range c.nodes {
		more()
		if err := n.upgrade(next); err != nil {
			t.Fatal(err)
		}
		if said := n.user.Peer("version"); !strings.Contains(said, nextVersion) {
			t.Fatalf("%s runs %s after its upgrade", n.name, said)
		}
	}
	more()
	stop()
	pushing.Wait()
	t.Logf("%d pushes meanwhile", pushes.Load())
	r.converge()
	ann.wantEverywhere()
}
