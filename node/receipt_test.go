package node_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/git"
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
