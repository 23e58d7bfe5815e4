package node_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// closeWithin is how long a node may take to end. On an idle machine it is
// milliseconds.
const closeWithin = 10 * time.Second

// A node that is closed in the middle of everything ends soon and leaves nothing
// behind: with sessions that wait for a push, for a pack, for a commit that
// never comes, and with members that fell silent in the middle of a payload.
//
// It is no parallel test: it counts goroutines.
func TestCloseInTheMiddle(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("close", closeInTheMiddle)
	nodetest.Eventually(t, func() string {
		if now := runtime.NumGoroutine(); now > before {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Sprintf("%d goroutines, before there were %d:\n%s", now, before, &stacks)
		}
		return ""
	})
}

func closeInTheMiddle(t *testing.T) {
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	at := chain(t, c, client, git.OID{}, 1)

	waiting, err := client.Begin(deadline(t), leader.ID) // says nothing more
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	half, err := client.Begin(deadline(t), leader.ID) // stops in the middle of a large pack
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	large := sha1.File(9, 1<<20, at)
	pack := large.Pack(sha1)
	if _, err := half.Request(client.Sign(1, pack, nil, nodetest.Move("refs/heads/x", git.OID{}, large.OID))); err != nil {
		t.Fatal(err)
	}
	for rest := pack[:len(pack)/2]; len(rest) > 0; rest = rest[min(len(rest), wire.ChunkBytes):] {
		if err := wire.WriteChunk(half, rest[:min(len(rest), wire.ChunkBytes)]); err != nil {
			t.Fatal(err)
		}
	}
	fetching, err := client.Open(deadline(t), leader.ID) // listens to git and does not answer
	if err != nil {
		t.Fatal(err)
	}
	defer fetching.Close()
	if err := fetching.Greet(wire.Intent_INTENT_FETCH, nil); err != nil {
		t.Fatal(err)
	}
	uncommitted, err := client.Begin(deadline(t), leader.ID) // never commits
	if err != nil {
		t.Fatal(err)
	}
	defer uncommitted.Close()
	for _, m := range c.Others(leader) {
		c.Net.Silence(leader.ID, m.ID)
		c.Net.Silence(m.ID, leader.ID)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if done, err := uncommitted.Push(client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/x"))); err == nil {
			t.Errorf("acknowledged by a node that was cut off and closed: %v", done)
		}
	})

	for _, m := range append([]*nodetest.Member{leader}, c.Others(leader)...) {
		began := time.Now()
		m.Stop()
		if took := time.Since(began); took > closeWithin {
			t.Errorf("close took %v", took)
		}
	}
}

// A follower that fetches from a member that fell silent ends as well.
func TestCloseWhileFetching(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	away := c.Members[0]
	away.Kill()
	chain(t, c, client, git.OID{}, 30)
	asked := make(chan struct{})
	var once sync.Once
	fault := c.Net.Fault(func(o nodetest.Opening) int {
		if o.From == away.ID && o.Request.GetObjects() != nil {
			once.Do(func() {
				for _, m := range c.Others(away) {
					c.Net.Silence(m.ID, away.ID)
				}
				close(asked)
			})
		}
		return nodetest.Pass
	})
	defer fault.Mend()
	away.Start()
	<-asked
	began := time.Now()
	away.Stop()
	if took := time.Since(began); took > closeWithin {
		t.Errorf("close took %v", took)
	}
}

// Whoever opens a stream and says nothing, or stops in the middle, is cut off.
func TestSilentClients(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	hello := encodeFrame(t, &wire.OpenSession{Hello: client.Hello(wire.Intent_INTENT_PUSH, nil)})
	var wg sync.WaitGroup
	for protocol, say := range map[string][]byte{
		"session/1": nil, "group/1": nil,
		"session/1 ": hello[:len(hello)/2], "group/1 ": {0, 0, 1},
	} {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
			defer cancel()
			s, err := client.Net.Open(ctx, c.Members[0].ID, strings.TrimSpace(protocol))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			if _, err := s.Write(say); err != nil {
				t.Error(err)
			}
			stop := context.AfterFunc(ctx, func() { t.Errorf("%q: still open", protocol); _ = s.Reset() })
			defer stop()
			_, _ = io.Copy(io.Discard, s) // until it is ended, in one way or the other
		})
	}
	wg.Wait()
}
