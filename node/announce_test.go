package node_test

import (
	"sync"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// listener hears what the leader announces.
type listener struct {
	mu    sync.Mutex
	hints []*wire.Hint
}

func listenTo(t *testing.T, c *nodetest.Client) *listener {
	t.Helper()
	l := &listener{}
	_, err := c.Net.Join("repo/1/"+c.Genesis.Repo.String(), func(identity.PeerID, []byte) bool { return true }, func(_ identity.PeerID, data []byte) {
		hint, err := node.CheckHint(c.Genesis.Repo, data, time.Now())
		l.mu.Lock()
		defer l.mu.Unlock()
		if err == nil {
			l.hints = append(l.hints, hint)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *listener) heard() (count int, last *wire.Hint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.hints) == 0 {
		return 0, nil
	}
	return len(l.hints), l.hints[len(l.hints)-1]
}

// However often people push, one announcement at a time is under way; the last
// one says all, and that all replicas have it.
func TestAnnouncementsAreFew(t *testing.T) {
	t.Parallel()
	tick := 200 * time.Millisecond
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.Tick = tick })
	g := c.Found(node.InitOptions{})
	leader := c.Settle(g)
	client := c.Client(g)
	l := listenTo(t, client)
	began := time.Now()
	const pushers, each = 8, 5
	var wg sync.WaitGroup
	for i := range pushers {
		own := c.Client(g)
		wg.Go(func() {
			at := git.OID{}
			for n := range each {
				next := sha1.File(uint64(1000*i+n), 100)
				p := own.Sign(1, next.Pack(sha1), nil, nodetest.Move("refs/heads/b"+string(rune('a'+i)), at, next.OID))
				if _, err := own.Send(deadline(t), p, leader.ID); err != nil {
					t.Error(err)
					return
				}
				at = next.OID
			}
		})
	}
	wg.Wait()
	most := 3 + int(time.Since(began)/tick)
	c.Eventually(func() string {
		if _, last := l.heard(); last.GetIndex() != leader.View(g).GetIndex() || len(last.GetInSync()) != 3 {
			return "the last announcement is not about the last entry, in sync everywhere"
		}
		return ""
	})
	if count, _ := l.heard(); count > most {
		t.Errorf("%d announcements of %d pushes, want at most %d", count, pushers*each, most)
	}
}

// A follower is in sync when its disk has what is committed, not when it is
// connected: one with a slow disk leaves the list at each push, and returns by itself.
func TestInSyncMeansDurable(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	slow := c.Members[0]
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)
	c.Converge(g)
	slow.Stop()
	slow.SyncTakes = time.Second
	slow.Start()
	c.Eventually(func() string {
		if !replicaState(leader, slow, g).GetInSync() {
			return "the slow one is not in sync when it has all"
		}
		return ""
	})
	l := listenTo(t, client)
	chain(t, c, client, at, 1)
	if r := replicaState(leader, slow, g); r.GetInSync() || !r.GetAlive() {
		t.Errorf("right after a push its disk has not got: in sync %v, alive %v", r.GetInSync(), r.GetAlive())
	}
	c.Eventually(func() string {
		switch _, hint := l.heard(); {
		case !replicaState(leader, slow, g).GetInSync():
			return "the slow one does not return"
		case hint == nil:
			return "no hint"
		case len(hint.GetInSync()) != 2:
			t.Errorf("a hint from before it was durable there says that %d are in sync", len(hint.GetInSync()))
		}
		return ""
	})
}
