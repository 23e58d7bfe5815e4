package node_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// unpublished is a repository of one replica whose main goes to and fro between two
// commits. It publishes when it is told to; the first move waits for that.
type unpublished struct {
	t      *testing.T
	c      *nodetest.Cluster
	client *nodetest.Client
	g      *replica.Genesis
	tips   [2]git.OID
	moves  int

	hold    atomic.Bool
	waiting chan struct{} // a publication is held
	may     chan struct{} // it may go on
	release func()        // all may
}

func newUnpublished(t *testing.T) *unpublished {
	t.Helper()
	u := &unpublished{t: t, waiting: make(chan struct{}), may: make(chan struct{})}
	released := make(chan struct{})
	u.release = sync.OnceFunc(func() { close(released) })
	u.c = nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if point != "publish-before" || !u.hold.Load() {
				return
			}
			for _, c := range []chan struct{}{u.waiting, u.may} {
				select {
				case c <- struct{}{}:
				case <-released:
				}
			}
		}
	})
	t.Cleanup(u.release) // before the cluster ends, which waits for it
	u.g = u.c.Found(node.InitOptions{})
	u.client = u.c.Client(u.g)
	for i := range u.tips {
		commit := sha1.File(uint64(i), 100)
		u.tips[i] = commit.OID
		mustPush(t, u.c, u.client, u.client.Sign(1, commit.Pack(sha1), nil, nodetest.Move("refs/heads/"+string(rune('a'+i)), git.OID{}, commit.OID)))
	}
	mustPush(t, u.c, u.client, u.client.Sign(1, nil, nil, nodetest.Move(main, git.OID{}, u.tips[0])))
	u.c.Converge(u.g)
	u.hold.Store(true)
	u.move()
	<-u.waiting
	return u
}

func (u *unpublished) node() *node.Node { return u.c.Members[0].Node }

// move has the table move main, straight through the log: a session would wait until what
// came before is published.
func (u *unpublished) move() {
	u.t.Helper()
	from, to := u.tips[u.moves%2], u.tips[(u.moves+1)%2]
	u.moves++
	before := u.node().Applied(u.g.Repo)
	if err := u.node().Propose(u.g.Repo, &wire.Entry{Transaction: u.client.Sign(1, nil, nil, nodetest.Move(main, from, to)).Signed}); err != nil {
		u.t.Fatal(err)
	}
	u.c.Eventually(func() string {
		if u.node().Applied(u.g.Repo) > before {
			return ""
		}
		return "main does not move"
	})
}

// onWait is a context that says when somebody begins to wait under it.
type onWait struct {
	context.Context
	waits func()
}

func (c onWait) Done() <-chan struct{} {
	c.waits()
	return c.Context.Done()
}

// TestProofsOfWhatMoved lists while the table is ahead: what sets main as it is published
// is not kept any more. The listing is made anew, and each of its refs is proved.
func TestProofsOfWhatMoved(t *testing.T) {
	t.Parallel()
	u := newUnpublished(t)
	// The first listing is taken before anything waits.
	index, setBy, kept, err := u.node().Evidence(onWait{deadline(t), u.release}, u.g.Repo)
	if err != nil || len(setBy) != 3 || !slices.Equal(kept, setBy) || index != setBy[2] {
		t.Errorf("at %d, of entries %d, those of %d are proved: %v", index, setBy, kept, err)
	}
}

// TestProofsOfWhatMovesOn lists while the table is always one move ahead: in the end the
// replica says that it is busy, and no ref goes out unproved.
func TestProofsOfWhatMovesOn(t *testing.T) {
	t.Parallel()
	u := newUnpublished(t)
	ahead := func() {
		u.move()
		<-u.may // the move before is published
		<-u.waiting
	}
	index, setBy, kept, err := u.node().Evidence(onWait{deadline(t), ahead}, u.g.Repo)
	if nodetest.CodeOf(err) != wire.FailureCode_FAILURE_BUSY {
		t.Errorf("at %d, of entries %d, those of %d are proved: %v", index, setBy, kept, err)
	}
	u.release()
	u.c.Converge(u.g)
	if _, setBy, kept, err := u.node().Evidence(deadline(t), u.g.Repo); err != nil || !slices.Equal(kept, setBy) {
		t.Errorf("when main stands still entries %d set the refs, and those of %d are proved: %v", setBy, kept, err)
	}
}

// TestProofsOfWhatStaysUnpublished lists at a replica that can't publish what its table
// knows: its reader hears that soon, and takes none of its places for hours.
func TestProofsOfWhatStaysUnpublished(t *testing.T) {
	t.Parallel()
	u := newUnpublished(t)
	s, err := u.client.Open(deadline(t), u.c.Members[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Greet(wire.Intent_INTENT_FETCH, func(h *wire.Hello) { h.Prove, h.StaleOk = true, true }); err != nil {
		t.Fatal(err)
	}
	if m, err := s.Next(); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_BUSY {
		t.Errorf("it says %v, %v", m, err)
	}
}
