package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// commits collects events of one kind as text.
type commits struct {
	mu   sync.Mutex
	said []string
}

func (c *commits) add(e node.Event) error {
	if e.Kind != node.EventCommit {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.said = append(c.said, spell(e))
	return nil
}

func (c *commits) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.said)
}

func spell(e node.Event) string {
	var refs []string
	for _, r := range e.Refs {
		refs = append(refs, fmt.Sprintf("%s %x %x", r.Name, r.Old, r.New))
	}
	slices.Sort(refs)
	return fmt.Sprint(e.Repository.Name, " ", e.Index, " ", e.Term, " ", e.At.UnixMilli(), " ", e.Signer.DID(), " ", refs, e.Detail)
}

// everything reads a log from its first entry to an index.
func everything(t *testing.T, m *nodetest.Member, g *replica.Genesis, to uint64) (list []node.Event) {
	t.Helper()
	for after := uint64(0); after < to; {
		h, err := m.Node.History(deadline(t), g.Repo, after)
		if err != nil {
			t.Fatalf("history after %d: %v", after, err)
		}
		if h.Gap != nil || h.Through <= after {
			t.Fatalf("history after %d: through %d, gap %v", after, h.Through, h.Gap)
		}
		list, after = append(list, h.Events...), h.Through
	}
	return list
}

// inBackground runs a watch until the test ends.
func inBackground(t *testing.T, watch func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- watch(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) && !errors.Is(err, node.ErrClosed) {
			t.Errorf("the watch ended: %v", err)
		}
	})
}

// What a log says of the past is what a watcher was told when it happened.
func TestHistoryIsWhatWasSeen(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	var live, follower commits
	inBackground(t, func(ctx context.Context) error { return c.Members[0].Node.Watch(ctx, live.add) })
	inBackground(t, func(ctx context.Context) error {
		return c.Members[0].Node.WatchRepo(ctx, g.Repo, new(uint64), follower.add)
	})

	var none git.OID
	one := sha1.File(1, 100)
	mustPush(t, c, client, client.Sign(1, one.Pack(sha1), nil, nodetest.Move(main, none, one.OID)))
	tries := 0
	c.Eventually(func() string {
		tries++
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(fmt.Sprintf("refs/heads/try/%d", tries), none, one.OID)))
		if len(live.all()) == 0 {
			return "nothing is heard"
		}
		return ""
	})
	two := sha1.File(2, 20_000, one.OID)
	mustPush(t, c, client, client.Sign(1, two.Pack(sha1), nil, nodetest.Move(main, one.OID, two.OID), nodetest.Move("refs/heads/x", none, one.OID)))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move("refs/heads/x", one.OID, none), nodetest.Move("refs/tags/y", none, one.OID)))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(main, two.OID, two.OID))) // moves nothing
	for _, atomic := range []bool{true, false} {                                            // the second half is stale
		half := client.Sign(1, nil, func(tx *wire.Transaction) { tx.Atomic = atomic },
			nodetest.Move("refs/heads/half", none, one.OID), nodetest.Move(main, one.OID, two.OID))
		if _, err := client.Send(deadline(t), half, c.IDs()...); err != nil {
			t.Fatal(err)
		}
		// The same again, in an entry of its own, is no news.
		if err := c.Leader(g).Node.Propose(g.Repo, &wire.Entry{Transaction: half.Signed}); err != nil {
			t.Fatal(err)
		}
	}
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/half")))
	last := mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(main, two.OID, one.OID)))

	for _, m := range c.Members {
		var past []string
		for _, e := range everything(t, m, g, last.GetIndex()) {
			if e.Kind == node.EventCommit {
				past = append(past, spell(e))
			}
		}
		if n := tries + 6; len(past) != n {
			t.Errorf("%d commits in the log, want %d:\n%s", len(past), n, strings.Join(past, "\n"))
		}
		c.Eventually(func() string {
			for who, seen := range map[string][]string{"live": live.all(), "follower": follower.all()} {
				if len(seen) == 0 || len(seen) > len(past) || !slices.Equal(seen, past[len(past)-len(seen):]) {
					return fmt.Sprintf("%s:\n%s\nof the log:\n%s", who, strings.Join(seen, "\n"), strings.Join(past, "\n"))
				}
			}
			return ""
		})
		if n := len(follower.all()); n != len(past) {
			t.Errorf("watching since 0 told %d commits of %d", n, len(past))
		}
	}
}

// One that watches from an index is told all, however slow it is: more than what is
// queued for those who watch from now on, who are told how many they missed.
func TestSlowWatcher(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	var none git.OID
	one := sha1.File(1, 100)
	first := mustPush(t, c, client, client.Sign(1, one.Pack(sha1), nil, nodetest.Move(main, none, one.OID)))

	const pushes = 300
	free := make(chan struct{})
	type seen struct {
		mu            sync.Mutex
		commits, gaps int
		missed        string
	}
	slow := func(s *seen) func(node.Event) error {
		return func(e node.Event) error {
			<-free
			s.mu.Lock()
			defer s.mu.Unlock()
			switch e.Kind {
			case node.EventCommit:
				s.commits++
			case node.EventGap:
				s.gaps++
				s.missed = e.Detail
			}
			return nil
		}
	}
	var since, now seen
	inBackground(t, func(ctx context.Context) error {
		return c.Members[0].Node.WatchRepo(ctx, g.Repo, &first.Index, slow(&since))
	})
	inBackground(t, func(ctx context.Context) error { return c.Members[0].Node.Watch(ctx, slow(&now)) })
	for i := range pushes {
		mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(fmt.Sprintf("refs/heads/b/%d", i), none, one.OID)))
	}
	close(free)
	c.Eventually(func() string {
		since.mu.Lock()
		defer since.mu.Unlock()
		now.mu.Lock()
		defer now.mu.Unlock()
		var missed int
		_, _ = fmt.Sscanf(now.missed, "%d events were left out", &missed)
		if since.commits != pushes || since.gaps != 0 || now.gaps != 1 || now.commits+missed < pushes-1 || now.commits == pushes {
			return fmt.Sprintf("of %d pushes: %d since, with %d gaps; %d from now on, with %d gaps: %s", pushes, since.commits, since.gaps, now.commits, now.gaps, now.missed)
		}
		return ""
	})
}

// What the log has forgotten is said to be missing, and the rest follows.
func TestHistoryHasAGap(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, shortLog)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	chain(t, c, client, git.OID{}, 40)
	last := lastIndex(t, c.Members[0], g)
	var h node.History
	c.Eventually(func() (said string) {
		var err error
		if h, err = c.Members[0].Node.History(deadline(t), g.Repo, 3); err != nil {
			t.Fatal(err)
		}
		if h.Gap == nil || h.Through < last {
			said = fmt.Sprintf("gap %v, through %d of %d", h.Gap, h.Through, last)
		}
		return said
	})
	if h.GapFirst != 4 || h.Gap.Index < 4 || h.Gap.Index >= last || h.Through != last {
		t.Errorf("gap from %d to %d, through %d of %d", h.GapFirst, h.Gap.Index, h.Through, last)
	}
	if len(h.Events) == 0 || h.Events[0].Index != h.Gap.Index+1 || h.Events[len(h.Events)-1].Index != last {
		t.Errorf("after a gap up to %d: %v", h.Gap.Index, h.Events)
	}
	if _, err := c.Members[0].Node.History(deadline(t), [32]byte{1}, 0); err == nil || !strings.Contains(err.Error(), "no replica") {
		t.Errorf("of a repository that is not here: %v", err)
	}
}
