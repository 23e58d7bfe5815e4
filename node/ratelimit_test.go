package node_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

// A key that pushes too often is told to wait, whatever it pushes; others are not, and
// what was pushed before costs nothing when it is asked about again.
func TestPushRate(t *testing.T) {
	t.Parallel()
	const burst = 20
	c := nodetest.Start(t, 3, func(cfg *node.Config) { cfg.PushRate, cfg.PushBurst = 1e-6, burst })
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	leader := c.Settle(g)
	friend := c.Members[1]
	if err := allows(t, c.Members[0], g, granting(friend.Key, wire.Access_ACCESS_WRITER)); err != nil {
		t.Fatal(err)
	}
	first := sha1.File(1, 100)
	push := client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID))
	mustPush(t, c, client, push)
	for i := 0; ; i++ { // a retry on a slow machine may have taken some as well
		_, err := client.Once(deadline(t), leader.ID, client.Sign(1, nil, nil, nodetest.Move("refs/heads/z", git.OID{}, first.OID)))
		if nodetest.CodeOf(err) == wire.FailureCode_FAILURE_BUSY {
			break
		}
		if i == 3*burst {
			t.Fatalf("push %d goes through: %v", i, err)
		}
	}
	before := leader.View(g).GetIndex()
	next := sha1.File(9, 100, first.OID)
	lock := &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{TtlMs: 1000}}}
	for name, p := range map[string]nodetest.Push{
		"a pack": client.Sign(1, next.Pack(sha1), nil, nodetest.Move("refs/heads/x", git.OID{}, next.OID)),
		"none":   client.Sign(1, nil, nil, nodetest.Move("refs/heads/x", git.OID{}, first.OID)),
		"a lock": client.Sign(1, nil, nil, lock),
	} {
		for _, at := range []*nodetest.Member{leader, c.Members[0]} { // a relay takes nobody's place
			done, err := client.Once(deadline(t), at.ID, p)
			var refusal *node.FailureError
			if !errors.As(err, &refusal) || refusal.F.GetCode() != wire.FailureCode_FAILURE_BUSY {
				t.Fatalf("%s: %v, %v", name, done, err)
			}
			said := refusal.F.GetMessage() + "\n" + refusal.F.GetHint()
			for _, want := range []string{client.Key.Public().DID(), "replica " + leader.ID.String(), "nothing was changed", "push again in"} {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q: %s", want, said)
				}
			}
		}
	}
	if now := leader.View(g).GetIndex(); now != before {
		t.Errorf("entry %d was applied", now)
	}
	writer := c.ClientAs(friend.Key, g)
	// Whoever sends what is known spends nothing, of nobody's.
	if done, err := writer.Once(deadline(t), leader.ID, push); err != nil || done.GetOutcome().GetResult().GetCode() != wire.Code_CODE_OK {
		t.Errorf("an earlier push again: %v, %v", done, err)
	}
	mustPush(t, c, writer, writer.Sign(1, nil, nil, nodetest.Move("refs/heads/y", git.OID{}, first.OID)))
	c.Converge(g)
}

// A push that never gets into the log spends nothing, however often somebody who has it,
// such as a member that kept it from the leader, sends it again.
func TestPushRateOfWhatFails(t *testing.T) {
	t.Parallel()
	const burst = 5
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.PushRate, cfg.PushBurst = 1e-6, burst })
	g := c.Found(node.InitOptions{Replicas: 1})
	c.Settle(g)
	client, other := c.Client(g), c.ClientAs(identity.KeyFromSeed([32]byte{92}), g)
	commit := sha1.File(1, 100)
	withheld := client.Sign(1, nil, nil, nodetest.Move(main, git.OID{}, commit.OID)) // its objects are nowhere
	for i := range 2 * burst {
		if done, err := other.Once(deadline(t), c.Members[0].ID, withheld); nodetest.CodeOf(err) != wire.FailureCode_FAILURE_BAD_PACK {
			t.Fatalf("push %d: %v, %v", i, done, err)
		}
	}
	mustPush(t, c, client, client.Sign(1, commit.Pack(sha1), nil, nodetest.Move(main, git.OID{}, commit.OID)))
}

// What a node does for its user waits its turn.
func TestOperationsWaitForTheirRate(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, func(cfg *node.Config) { cfg.PushRate, cfg.PushBurst = 5, 1 })
	g := c.Found(node.InitOptions{Replicas: 1})
	c.Settle(g)
	m := c.Members[0]
	for i := range 3 {
		lock, _, err := m.Node.AcquireLock(deadline(t), g.Repo, time.Minute, "", 0)
		if err != nil {
			t.Fatalf("lock %d: %v", i, err)
		}
		if _, err := m.Node.ReleaseLock(deadline(t), g.Repo, lock.GetToken()); err != nil {
			t.Fatalf("unlock %d: %v", i, err)
		}
	}
}
