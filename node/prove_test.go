package node_test

import (
	"crypto/sha256"
	"testing"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// provedListing is a listing with its proofs, as a reader checks them.
type provedListing struct {
	*replica.Vouched
	refs   map[string]*wire.ListedRef
	proofs map[uint64]*replica.Proof
	pack   []byte // of what git was asked for behind it
}

// listProved asks one replica for a listing with proofs, and then, in the same session,
// git for a pack of want.
func listProved(t *testing.T, c *nodetest.Client, at identity.PeerID, since uint64, want git.OID) *provedListing {
	t.Helper()
	s, err := c.Open(deadline(t), at)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Greet(wire.Intent_INTENT_FETCH, func(h *wire.Hello) { h.Prove, h.ProvedIndex = true, since }); err != nil {
		t.Fatal(err)
	}
	if !s.Welcome.GetProves() {
		t.Fatal("no proofs are promised")
	}
	l := &provedListing{refs: map[string]*wire.ListedRef{}, proofs: map[uint64]*replica.Proof{}}
	var elements [][sha256.Size]byte
	for l.Vouched == nil {
		m, err := s.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range m.GetListed().GetRefs() {
			l.refs[r.GetName()] = r
			elements = append(elements, replica.RefElement(r.GetName(), r.GetOid(), r.GetIndex()))
		}
		for _, k := range m.GetProofs().GetTransactions() {
			if l.proofs[k.GetIndex()], err = replica.ParseKept(c.Genesis, k); err != nil {
				t.Fatal(err)
			}
		}
		if m.GetVouched() == nil {
			continue
		}
		if l.Vouched, err = replica.ParseVouched(c.Genesis, m.GetVouched(), replica.Rules{CheckRefName: git.CheckRefName}); err != nil {
			t.Fatal(err)
		}
		if replica.Root(elements, m.GetVouched().GetHead()) != l.Refs {
			t.Error("the listing is not the one that was signed")
		}
	}
	if l.Index < s.Welcome.GetIndex() {
		t.Errorf("what was confirmed is index %d, and what is listed %d", s.Welcome.GetIndex(), l.Index)
	}
	for name, r := range l.refs {
		p := l.proofs[r.GetIndex()]
		if r.GetIndex() <= since != (p == nil) {
			t.Errorf("%s was set by entry %d, and the proof is %v", name, r.GetIndex(), p)
		}
		if p == nil {
			continue
		}
		if known, err := l.Proves(p, name, r.GetOid()); !known || err != nil {
			t.Errorf("%s: known %v, %v", name, known, err)
		}
	}
	if l.pack, err = s.FetchPack(want); err != nil || len(l.pack) == 0 {
		t.Errorf("git sends %d bytes behind the listing: %v", len(l.pack), err)
	}
	return l
}

// TestProvedListing lists with proofs at the leader and at followers, while all are there
// and while one or two are not.
func TestProvedListing(t *testing.T) {
	t.Parallel()
	c := nodetest.Start(t, 3, nil)
	g := c.Found(node.InitOptions{})
	client := c.Client(g)
	first := sha1.File(1, 100)
	push := func(p nodetest.Push) uint64 {
		t.Helper()
		done, err := client.Send(deadline(t), p, c.IDs()...)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range done.GetOutcome().GetResults() {
			if r.GetCode() != wire.Code_CODE_OK {
				t.Fatal(r)
			}
		}
		return done.GetOutcome().GetIndex()
	}
	at := push(client.Sign(1, first.Pack(sha1), nil, nodetest.Move(main, git.OID{}, first.OID), nodetest.Move("refs/heads/a", git.OID{}, first.OID)))
	for _, m := range c.Members {
		l := listProved(t, client, m.ID, 0, first.OID)
		if !l.Majority() || len(l.refs) != 2 || len(l.proofs) != 1 || l.Index < at {
			t.Errorf("%s lists %d refs with %d proofs at %d, signed by %d", m.ID, len(l.refs), len(l.proofs), l.Index, len(l.Signers))
		}
	}
	// The branch moves, comes back and is set to what it is; the policy changes.
	push(client.Sign(at, nil, nil, nodetest.Move("refs/heads/a", first.OID, git.OID{})))
	friend := identity.KeyFromSeed([32]byte{91})
	public := friend.Public()
	at2 := push(client.Sign(at, nil, nil, &wire.Operation{Kind: &wire.Operation_ChangePolicy{ChangePolicy: &wire.ChangePolicy{
		OldVersion: 1, Set: []*wire.Grant{{Key: public[:], Access: wire.Access_ACCESS_WRITER}},
	}}}))
	client = c.ClientAs(friend, g)
	push(client.Sign(at2, nil, nil, nodetest.Move("refs/heads/a", git.OID{}, first.OID)))
	last := push(client.Sign(at2, nil, nil, nodetest.Move("refs/heads/a", first.OID, first.OID)))
	leader := c.Settle(g)
	followers := c.Others(leader)
	l := listProved(t, client, leader.ID, at, first.OID)
	if !l.Majority() || len(l.proofs) != 1 || l.refs["refs/heads/a"].GetIndex() != last {
		t.Errorf("listed %v with %d proofs, signed by %d", l.refs, len(l.proofs), len(l.Signers))
	}
	// Whoever starts again knows what it kept.
	followers[0].Stop()
	followers[0].Start()
	c.Converge(g)
	if l := listProved(t, client, followers[0].ID, 0, first.OID); !l.Majority() || len(l.proofs) != 2 {
		t.Errorf("after a restart there are %d proofs, signed by %d", len(l.proofs), len(l.Signers))
	}
	followers[1].Stop()
	if l := listProved(t, client, followers[0].ID, 0, first.OID); !l.Majority() {
		t.Errorf("with one away %d sign", len(l.Signers))
	}
	leader.Stop()
	followers[0].Stop() // or it remembers what was signed before
	followers[0].Start()
	if l := listProved(t, client, followers[0].ID, 0, first.OID); l.Majority() || len(l.Signers) != 1 {
		t.Errorf("with two away %d sign", len(l.Signers))
	}
}
