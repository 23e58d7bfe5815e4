package node_test

import (
	"strings"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
)

// A replica that needs long says what for: a client takes one that says nothing for
// dead, and sends everything again.
func TestPusherIsToldWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	told := map[string]chan struct{}{"indexed": make(chan struct{}), "replicated": make(chan struct{}), "proposed": make(chan struct{})}
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if wait := told[point]; wait != nil {
				<-wait
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	change := sha1.File(1, 1<<20)
	s, err := client.Begin(deadline(t), c.Members[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Request(client.Sign(1, change.Pack(sha1), nil, nodetest.Move(main, git.OID{}, change.OID))); err != nil {
		t.Fatal(err)
	}
	if err := s.SendPack(change.Pack(sha1)); err != nil {
		t.Fatal(err)
	}
	for _, wait := range []struct{ point, says string }{
		{"indexed", "indexing and checking the pack\n"},
		{"replicated", "holds the pack\n"},
		{"proposed", "acknowledges the push\n"},
	} {
		m, err := s.Next()
		if err != nil || !strings.HasSuffix(string(m.GetProgress().GetText()), wait.says) {
			t.Errorf("at %s: %v, %v", wait.point, m, err)
		}
		close(told[wait.point])
	}
	if done, err := s.Done(); err != nil || done.GetOutcome() == nil {
		t.Errorf("%v, %v", done, err)
	}
}
