package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// proofOf completes a receipt as a client does, and checks it.
func proofOf(g *replica.Genesis, signed *wire.Signed, done *wire.PushDone) (*replica.Receipt, error) {
	raw := &wire.Receipt{}
	if done.GetReceipt() != nil {
		raw = proto.CloneOf(done.GetReceipt())
	}
	raw.Genesis, raw.Transaction = g.Signed, signed
	return replica.ParseReceipt(raw)
}

// TestReceipt pushes to a group of three, twice the same, and checks what comes back.
func TestReceipt(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	first := sha1.File(1, 100)
	push := client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID))
	done, err := client.Send(deadline(t), push, c.IDs()...)
	if err != nil {
		t.Fatal(err)
	}
	r, err := proofOf(g, push.Signed, done)
	if err != nil {
		t.Fatalf("the first push: %v (%s)", err, done.GetNoReceipt())
	}
	if r.Index != done.GetOutcome().GetIndex() || len(r.Signers) < 2 || r.Voters() != 3 {
		t.Errorf("the receipt is for entry %d, signed by %d of %d", r.Index, len(r.Signers), r.Voters())
	}
	// Another transaction's receipt proves nothing about this one.
	other := client.Sign(1, nil, nil, nodetest.Move(main, first.OID, git.OID{}))
	if _, err := proofOf(g, other.Signed, done); err == nil {
		t.Error("a receipt holds for another transaction")
	}
	// The same transaction again: the same entry, from whoever has signatures for it.
	again, err := client.Send(deadline(t), push, c.IDs()...)
	if err != nil || again.GetOutcome().GetIndex() != r.Index {
		t.Fatalf("pushed again: %v, %v", again, err)
	}
	if again.GetReceipt() == nil && again.GetNoReceipt() == "" {
		t.Error("no receipt, and no reason why not")
	}
	if again.GetReceipt() != nil {
		second, err := proofOf(g, push.Signed, again)
		if err != nil {
			t.Fatal(err)
		}
		if contradiction, comparable := r.Contradicts(second); contradiction != nil || !comparable {
			t.Errorf("two receipts for one entry: %+v, comparable %v", contradiction, comparable)
		}
	}
}

// TestReceiptsOfOperations has a node do all that it does in its user's name: each is
// proved as a push is.
func TestReceiptsOfOperations(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 1, nil)
	g := c.Found(node.InitOptions{})
	n, last := c.Members[0].Node, uint64(1)
	proved := func(what string, done *replica.Done, err error) {
		t.Helper()
		if err != nil || done == nil || done.Receipt == nil {
			t.Fatalf("%s: %+v, %v", what, done, err)
		}
		r, err := replica.ParseReceipt(done.Receipt.Raw)
		if err != nil || r.Genesis.Hash != g.Hash || r.Index != done.Outcome.GetIndex() || r.Index <= last || done.Durable != 1 || done.Replicas != 1 {
			t.Errorf("%s: %+v: %v", what, done, err)
		}
		last = r.Index
	}
	lock, done, err := n.AcquireLock(deadline(t), g.Repo, time.Hour, "", 0)
	proved("lock", done, err)
	done, err = n.ReleaseLock(deadline(t), g.Repo, lock.GetToken())
	proved("unlock", done, err)
	info, done, err := n.SetHead(deadline(t), g.Repo, "refs/heads/next")
	proved("default-branch", done, err)
	if !info.Unborn {
		t.Error("a branch that nobody made is there")
	}
	_, done, err = n.ChangePolicy(deadline(t), g.Repo, func(node.Info) (*wire.ChangePolicy, error) {
		return granting(identity.KeyFromSeed([32]byte{99}), wire.Access_ACCESS_WRITER), nil
	})
	proved("allow", done, err)
	_, done, err = n.Configure(deadline(t), g.Repo, func(_ node.Info, s *wire.Settings) error { s.Stay = true; return nil })
	proved("replicas", done, err)
	done, err = n.Remove(deadline(t), g.Repo, "")
	proved("rm", done, err)
}

// TestReceiptNotAdmitted has a user know better than a receipt that holds: the operation
// is not called done, and is sent again, as the same one.
func TestReceiptNotAdmitted(t *testing.T) {
	t.Parallel()
	var admit func(*replica.Receipt) error
	c := nodetest.Start(t, 1, func(cfg *node.Config) {
		cfg.Admit = func(r *replica.Receipt) error { return admit(r) }
	})
	g := c.Found(node.InitOptions{})
	var shown []*replica.Receipt
	admit = func(r *replica.Receipt) error {
		if shown = append(shown, r); len(shown) == 1 {
			return errors.New("voters signed two logs")
		}
		return nil
	}
	_, done, err := c.Members[0].Node.AcquireLock(deadline(t), g.Repo, time.Hour, "", 0)
	if err != nil || len(shown) != 2 || shown[0].Index != shown[1].Index || done.Receipt != shown[1] {
		t.Fatalf("after %d receipts: %+v, %v", len(shown), done, err)
	}
	ctx, cancel := context.WithCancel(deadline(t))
	admit = func(*replica.Receipt) error {
		cancel()
		return errors.New("voters signed two logs")
	}
	_, _, err = c.Members[0].Node.SetHead(ctx, g.Repo, "refs/heads/next")
	var refused *node.FailureError
	if !errors.As(err, &refused) || !refused.F.GetUnknown() || !strings.Contains(err.Error(), "voters signed two logs") {
		t.Errorf("nobody admits it: %v", err)
	}
}
