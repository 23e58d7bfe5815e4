package cmd

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// writeTestKey makes a key that of a home.
func writeTestKey(t *testing.T, home string, k identity.Key) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k.Private())
	if err == nil {
		err = os.MkdirAll(home, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(home, "key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// fakeListing is what the fake lists, and what it proves that by.
type fakeListing struct {
	refs    []*wire.ListedRef
	head    string
	kept    []*wire.Kept
	claim   *replica.Claim
	voices  []uint64
	vouched *wire.Vouched // once it is signed
}

// ref finds a ref of the listing.
func (l *fakeListing) ref(name string) *wire.ListedRef {
	i := slices.IndexFunc(l.refs, func(r *wire.ListedRef) bool { return r.GetName() == name })
	return l.refs[i]
}

func (l *fakeListing) root() [sha256.Size]byte {
	var elements [][sha256.Size]byte
	for _, r := range l.refs {
		elements = append(elements, replica.RefElement(r.GetName(), r.GetOid(), r.GetIndex()))
	}
	return replica.Root(elements, l.head)
}

// listing is what there is to prove, if nobody lies.
func (f *fakeReplica) listing(since uint64) *fakeListing {
	owner, pusher := f.owner.Public(), f.pusher.Public()
	policy := &wire.Policy{Version: 1, Grants: []*wire.Grant{{Key: owner[:], Access: wire.Access_ACCESS_OWNER}, {Key: pusher[:], Access: wire.Access_ACCESS_WRITER}}}
	slices.SortFunc(policy.Grants, func(a, b *wire.Grant) int { return slices.Compare(a.GetKey(), b.GetKey()) })
	l := &fakeListing{
		head: strings.TrimSpace(f.git(nil, "symbolic-ref", "HEAD")), voices: f.voices,
		claim: &replica.Claim{Lineage: f.genesis.Lineage(), Index: f.index, Chain: sha256.Sum256(fmt.Append(nil, f.index)), Policy: policy},
	}
	told := map[uint64]bool{}
	for line := range strings.Lines(f.git(nil, "for-each-ref", "--sort=refname", "--format=%(objectname) %(*objectname) %(refname)")) {
		field := strings.Split(strings.TrimSuffix(line, "\n"), " ")
		oid, _ := hex.DecodeString(field[0])
		peeled, _ := hex.DecodeString(field[1])
		r := &wire.ListedRef{Name: field[2], Oid: oid, Peeled: peeled, Index: max(1, f.setBy[field[2]])}
		l.refs = append(l.refs, r)
		if signed := f.kept[r.Index]; signed != nil && r.Index > since && !told[r.Index] {
			told[r.Index] = true
			l.kept = append(l.kept, proto.CloneOf(&wire.Kept{Index: r.Index, Transaction: signed}))
		}
	}
	return l
}

// sign has the voices vouch for the listing.
func (l *fakeListing) sign() {
	l.claim.Refs = l.root()
	var signatures []*wire.Endorsement
	for _, seat := range l.voices {
		signatures = append(signatures, l.claim.Sign(fakeVoter(seat)))
	}
	l.vouched = l.claim.Wire(signatures)
	l.vouched.Head = l.head
}

func (s *fakeSession) prove(since uint64) {
	s.mu.Lock()
	l := s.listing(since)
	if s.lie != nil {
		s.lie(l)
	}
	l.sign()
	if s.forge != nil {
		s.forge(l)
	}
	s.mu.Unlock()
	for piece := range slices.Chunk(l.refs, 2) {
		s.tell(&wire.ToClient{Kind: &wire.ToClient_Listed{Listed: &wire.Listed{Refs: piece}}})
	}
	if len(l.kept) > 0 {
		s.tell(&wire.ToClient{Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{Transactions: l.kept}}})
	}
	s.tell(&wire.ToClient{Kind: &wire.ToClient_Vouched{Vouched: l.vouched}})
}
