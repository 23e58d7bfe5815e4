package node_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// carriesObjects says that a stream brings a payload, in one way or the other.
func carriesObjects(o nodetest.Opening) bool {
	r := o.Request
	return r.GetStagePayload() != nil || r.GetGetPayload() != nil || r.GetObjects() != nil
}

// cutObjects refuses all payloads between a set of nodes and the others.
func cutObjects(net *nodetest.Network, of ...identity.PeerID) *nodetest.Fault {
	cut := map[identity.PeerID]bool{}
	for _, id := range of {
		cut[id] = true
	}
	return net.Fault(func(o nodetest.Opening) int {
		if carriesObjects(o) && (cut[o.From] || cut[o.To]) {
			return nodetest.Refuse
		}
		return nodetest.Pass
	})
}

// A push whose objects no follower has is no commit, whatever the log says.
func TestNoCommitWithoutTheObjects(t *testing.T) {
	t.Parallel()
	proposed := make(chan struct{}, 64)
	c := nodetest.Start(t, 3, func(cfg *node.Config) {
		cfg.Fail = func(point string) {
			if point == "proposed" {
				proposed <- struct{}{}
			}
		}
	})
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)

	fault := cutObjects(c.Net, c.IDs()...)
	large := sha1.File(1, 1<<20)
	p := client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, git.OID{}, large.OID))
	before := leader.View(g).GetIndex()

	// The push waits for as long as its client does: a while longer than the leader
	// takes to propose it.
	waiting, cancel := context.WithCancel(deadline(t))
	defer cancel()
	go func() {
		select {
		case <-proposed:
			time.AfterFunc(30*nodetest.Tick, cancel)
		case <-waiting.Done():
		}
	}()
	if done, err := client.Once(waiting, leader.ID, p); !errors.Is(err, nodetest.ErrCut) {
		t.Fatalf("answer without a majority of the objects: %v, %v", done, err)
	}
	for _, m := range c.Members {
		if now := m.View(g).GetIndex(); now != before {
			t.Fatalf("entry %d was applied with the objects on one disk, before it was %d", now, before)
		}
	}
	// Heartbeats pass all the same: nobody looks for another leader.
	if now := c.Leader(g); now != leader {
		t.Errorf("the leader changed although all are connected")
	}

	fault.Mend() // and it commits by itself
	c.Eventually(func() string {
		for _, m := range c.Members {
			if m.View(g).GetIndex() == before {
				return "not committed after the objects could travel again"
			}
		}
		return ""
	})
	first := mustPush(t, c, client, p)
	if again := mustPush(t, c, client, p); again.GetIndex() != first.GetIndex() {
		t.Errorf("the same push at entries %d and %d", first.GetIndex(), again.GetIndex())
	}
	c.Converge(g)
}

// One follower suffices; and when the leader is destroyed the others have all
// that was acknowledged, the one that was cut off included.
func TestObjectsSurviveTheLeader(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	followers := c.Others(leader)

	fault := cutObjects(c.Net, followers[1].ID)
	large := sha1.File(1, 1<<20)
	mustPush(t, c, client, client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, git.OID{}, large.OID)))

	leader.Wipe()
	next := c.Leader(g)
	if next != followers[0] {
		t.Fatalf("a replica without an acknowledged entry leads")
	}
	fault.Mend()
	c.Converge(g, followers...)
	for _, m := range followers {
		listed, err := client.List(deadline(t), m.ID, nil)
		if err != nil || listed.Refs[main] != large.OID || listed.Welcome.GetStale() {
			t.Errorf("main is %s, stale %v, %v", listed.Refs[main], listed.Welcome.GetStale(), err)
		}
	}
	child := sha1.File(2, 100, large.OID)
	mustPush(t, c, client, client.Sign(1, child.Pack(sha1), nil, nodetest.Move(main, large.OID, child.OID)))
	c.Converge(g, followers...)
}

// A retry at a new leader that holds the staged payload need not send it again.
func TestRetryUsesTheStagedPayload(t *testing.T) {
	t.Parallel()
	c := nodetest.New(t, 3, nil)
	death := c.Members[2].DieAt("replicated").Arm() // the leader: one of the others holds the payload by then
	for _, m := range c.Members {
		m.Start()
	}
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	followers := c.Others(leader)
	large := sha1.File(1, 1<<20)
	p := client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, git.OID{}, large.OID))
	if done, err := client.Once(deadline(t), leader.ID, p); err == nil {
		t.Fatalf("the leader died and answered %v", done)
	}
	<-death.Died
	next := c.Leader(g)
	// One follower holds it for certain; the other was perhaps cut off by the death.
	whole := func(name string) bool { return !strings.HasSuffix(name, ".part") && !strings.HasPrefix(name, "gone-") }
	if !slices.ContainsFunc(next.Staged(g), whole) {
		mustPush(t, c, client, p)
		return
	}
	var s *nodetest.Session
	c.Eventually(func() (why string) { // until what is on its disk is synced
		var err error
		if s, err = client.Begin(deadline(t), next.ID); err != nil {
			return err.Error()
		}
		answer, err := s.Request(p)
		if err == nil && answer.GetGo().GetSkipPack() {
			return ""
		}
		s.Close()
		return fmt.Sprintf("holds the payload, and answered %v, %v", answer, err)
	})
	defer s.Close()
	if done, err := s.Done(); err != nil { // this leader was replaced, too
		mustPush(t, c, client, p)
	} else if done.GetOutcome().GetResult().GetCode() != wire.Code_CODE_OK {
		t.Fatalf("outcome %v", done)
	}
	c.Converge(g, followers...)
	death.Bury()
	leader.Start()
	c.Converge(g)
}

// A connection that breaks again and again in the middle of payloads delays a
// push and does no harm.
func TestPayloadsCutInTheMiddle(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	var cuts atomic.Int32
	fault := c.Net.Fault(func(o nodetest.Opening) int {
		if !carriesObjects(o) || cuts.Add(1) > 12 {
			return nodetest.Pass
		}
		return 300_000
	})
	defer fault.Mend()
	from := git.OID{}
	for i := range 3 {
		large := sha1.File(uint64(i), 700_000)
		mustPush(t, c, client, client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, from, large.OID)))
		from = large.OID
	}
	c.Converge(g)
	for _, m := range c.Members {
		c.Eventually(func() string {
			if staged := m.Staged(g); len(staged) > 0 {
				return "left in the staging area: " + staged[0]
			}
			return ""
		})
	}
}

// A leader's stream may come to its end when the follower has got the payload in
// another way, and published it: nothing stays behind.
func TestLatePayload(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	c.Settle(g)
	large := sha1.File(1, 1<<20)
	p := client.Sign(1, large.Pack(sha1), nil, nodetest.Move(main, git.OID{}, large.OID))
	mustPush(t, c, client, p)
	c.Converge(g)
	nothingStaged(t, c, g)
	late, target := c.Members[0], c.Members[1]
	late.Stop()
	host := c.Net.Host(late.ID)
	t.Cleanup(host.Close)
	sum := sha256.Sum256(p.Signed.GetBody())
	body := new(wire.Transaction)
	if err := proto.Unmarshal(p.Signed.GetBody(), body); err != nil {
		t.Fatal(err)
	}
	_, chunks := storedPack(t, target, g)
	answer, err := request(t, &nodetest.Client{Key: late.Key, Genesis: g, Net: host}, target.ID, &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{
		StagePayload: &wire.StagePayload{Repo: g.Repo[:], Genesis: g.Hash[:], Signer: p.Signed.GetSigner(), Id: body.GetId(), TxSha256: sum[:]},
	}}, chunks...)
	if err != nil || answer.GetDone() == nil {
		t.Fatalf("%v, %v", answer, err)
	}
	if staged := target.Staged(g); len(staged) > 0 {
		t.Errorf("left in the staging area: %v", staged)
	}
}
