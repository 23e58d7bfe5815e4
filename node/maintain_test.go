package node_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// Many pushes have their packs joined while they come, however seldom the
// maintainer makes its rounds and however often the node starts anew.
func TestManyPacksAreJoined(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.MaintainEvery = time.Hour })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	var at git.OID
	const pushes = 120
	for i := range pushes {
		if i%40 == 39 {
			c.Members[0].Kill()
			c.Members[0].Start()
			c.Settle(g)
		}
		next := sha1.File(uint64(i), 100)
		if i > 0 {
			next = sha1.File(uint64(i), 100, at)
		}
		mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, at, next.OID)))
		at = next.OID
	}
	c.Eventually(func() string {
		packs, err := filepath.Glob(filepath.Join(c.Members[0].RepoDir(g), "objects", "pack", "*.pack"))
		if err != nil || len(packs) > pushes/2 {
			return fmt.Sprintf("%d packs of %d pushes, %v", len(packs), pushes, err)
		}
		return ""
	})
	c.Converge(g)
}

// A check of the objects takes packs that go under it for damage, so none go.
func TestChecksWhilePacksAreJoined(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	m, stop := c.Members[0], make(chan struct{})
	checked := make(chan int)
	go func() {
		n := 0
		defer func() { checked <- n }()
		for {
			select {
			case <-stop:
				return
			default:
			}
			err := m.Node.Verify(deadline(t), g.Repo, true, func(v node.Verdict) error {
				for _, found := range v.Report.GetFindings() {
					t.Errorf("check %d found: %s", n, found.GetDetail())
				}
				return nil
			})
			if n++; err != nil {
				t.Errorf("check: %v", err)
			}
		}
	}()
	var at git.OID
	for i := range 200 {
		next := sha1.File(uint64(i), 100)
		if i > 0 {
			next = sha1.File(uint64(i), 100, at)
		}
		mustPush(t, c, client, client.Sign(1, next.Pack(sha1), nil, nodetest.Move(main, at, next.OID)))
		at = next.OID
	}
	close(stop)
	if n := <-checked; n < 3 {
		t.Errorf("checked %d times: this tests nothing", n)
	}
}
