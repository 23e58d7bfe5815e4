package node_test

import (
	"context"
	"fmt"
	"testing"

	"peer/git"
	"peer/node"
	"peer/node/nodetest"
	"peer/wire"
)

const (
	main   = "refs/heads/main"
	zeroes = "0000000000000000000000000000000000000000"
)

var sha1 nodetest.Maker

// deadline bounds a whole step of a test.
func deadline(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// mustPush pushes until the outcome is known and expects all to have gone well.
func mustPush(t testing.TB, c *nodetest.Cluster, client *nodetest.Client, p nodetest.Push) *wire.Outcome {
	t.Helper()
	done, err := client.Send(deadline(t), p, c.IDs()...)
	if err != nil {
		t.Fatalf("push: %v", err)
	}
	for _, r := range append(done.GetOutcome().GetResults(), done.GetOutcome().GetResult()) {
		if r.GetCode() != wire.Code_CODE_OK {
			t.Fatalf("push: %s: %s", r.GetCode(), r.GetDetail())
		}
	}
	return done.GetOutcome()
}

func TestPushesOfAllKinds(t *testing.T) {
	t.Parallel()
	for _, format := range []git.Format{git.SHA1, git.SHA256} {
		t.Run(string(format), func(t *testing.T) {
			t.Parallel()
			pushesOfAllKinds(t, nodetest.Maker{Format: format})
		})
	}
}

func pushesOfAllKinds(t *testing.T, m nodetest.Maker) {
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{ObjectFormat: string(m.Format)})
	client := c.Client(g)
	var none git.OID

	small := m.File(1, 100)
	large := m.File(2, 2<<20, small.OID)
	tag := m.Tag("v1", small.Objects[0])
	mustPush(t, c, client, client.Sign(1, small.Pack(m), nil, nodetest.Move(main, none, small.OID)))
	mustPush(t, c, client, client.Sign(1, large.Pack(m), nil, nodetest.Move(main, small.OID, large.OID)))
	mustPush(t, c, client, client.Sign(1, m.Pack(tag), nil, nodetest.Move("refs/tags/v1", none, tag.OID)))

	var many []*wire.Operation
	for i := range 1500 { // more than one frame of a listing
		many = append(many, nodetest.Move(fmt.Sprintf("refs/heads/many/%04d", i), none, small.OID))
	}
	mustPush(t, c, client, client.Sign(1, nil, nil, many...))
	mustPush(t, c, client, client.Sign(1, nil, nil,
		nodetest.Move("refs/heads/many/0000", small.OID, none), nodetest.Move("refs/tags/v1", tag.OID, none)))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Head(main, "refs/heads/many/0001")))
	mustPush(t, c, client, client.Sign(1, nil, nil, nodetest.Move(main, large.OID, small.OID))) // back, by force

	// One of two fails: with atomic both do, otherwise only that one.
	for _, atomic := range []bool{true, false} {
		both := client.Sign(1, nil, func(tx *wire.Transaction) { tx.Atomic = atomic },
			nodetest.Move("refs/heads/many/0002", small.OID, none), nodetest.Move(main, large.OID, small.OID))
		done, err := client.Send(deadline(t), both, c.IDs()...)
		if err != nil {
			t.Fatal(err)
		}
		first := wire.Code_CODE_OK
		if atomic {
			first = wire.Code_CODE_SIBLING
		}
		if r := done.GetOutcome().GetResults(); r[0].GetCode() != first || r[1].GetCode() != wire.Code_CODE_STALE {
			t.Errorf("atomic %v: %v", atomic, r)
		}
		listed, err := client.List(deadline(t), c.Members[0].ID, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, there := listed.Refs["refs/heads/many/0002"]; there != atomic {
			t.Errorf("atomic %v, and the branch is there: %v", atomic, there)
		}
	}

	c.Converge(g)
	for _, at := range c.Members {
		listed, err := client.List(deadline(t), at.ID, nil)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		if n := len(listed.Refs); n != 1500 || listed.Refs[main] != small.OID {
			t.Errorf("%d refs and main at %s, want 1500 and %s", n, listed.Refs[main], small.OID)
		}
		if head := listed.Welcome.GetHead(); head != "refs/heads/many/0001" {
			t.Errorf("HEAD is %s", head)
		}
		c.Eventually(func() string {
			if staged := at.Staged(g); len(staged) > 0 {
				return fmt.Sprintf("left in the staging area of %s: %v", at.ID, staged)
			}
			return ""
		})
	}
}
