package node_test

import (
	"context"
	"sync/atomic"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// Followers whose disks hang have acknowledged nothing: a push is not committed
// before a majority has saved it, whatever was sent.
func TestNothingIsSaidBeforeItIsSaved(t *testing.T) {
	t.Parallel()
	var holding atomic.Pointer[nodetest.Member] // all but this one are held
	release, held := make(chan struct{}), make(chan struct{}, 64)
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		self := cfg.Key.PeerID()
		cfg.Fail = func(point string) {
			leader := holding.Load()
			if point != "save-before" || leader == nil || leader.ID == self {
				return
			}
			held <- struct{}{}
			<-release
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	c.Converge(g)
	before := leader.View(g).GetIndex()
	change := sha1.File(1, 100)
	p := client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, git.OID{}, change.OID))

	holding.Store(leader)
	waiting, cancel := context.WithTimeout(deadline(t), 40*nodetest.Tick)
	defer cancel()
	done, err := client.Once(waiting, leader.ID, p)
	<-held
	<-held // both were about to save it
	if now := leader.View(g).GetIndex(); err == nil || now != before {
		t.Errorf("committed on one disk of three: %v, index %d, before it was %d", done, now, before)
	}
	holding.Store(nil)
	close(release)
	mustPush(t, c, client, p)
	c.Converge(g)
}
