package cmd

import (
	"bytes"
	"fmt"
	"testing"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// BenchmarkProvedListing checks a listing of 100,000 refs: at first contact, where ten
// transactions set them, and again, where nothing is new.
func BenchmarkProvedListing(b *testing.B) {
	const refs, pushes = 100_000, 10
	g := testGenesis(testOwner, "demo", 1)
	l := &fakeListing{head: "refs/heads/main"}
	var frames bytes.Buffer
	say := func(m *wire.ToClient) {
		if err := wire.WriteFrame(&frames, m); err != nil {
			b.Fatal(err)
		}
	}
	proofs := []*wire.Kept{}
	for push := range pushes {
		tx := &wire.Transaction{Genesis: g.Hash[:], Signer: g.Owner[:], Id: bytes.Repeat([]byte{byte(push)}, replica.TransactionIDBytes), Base: 1, Window: 100}
		piece := &wire.Listed{}
		for i := range refs / pushes {
			r := &wire.ListedRef{Name: fmt.Sprintf("refs/heads/team/%02d/branch-%06d", push, i), Oid: bytes.Repeat([]byte{byte(i), 1}, 10), Index: uint64(2 + push)}
			l.refs, piece.Refs = append(l.refs, r), append(piece.Refs, r)
			tx.Operations = append(tx.Operations, &wire.Operation{Kind: &wire.Operation_RefUpdate{RefUpdate: &wire.RefUpdate{Name: r.Name, New: r.Oid}}})
		}
		signed, err := replica.Seal(testOwner, identity.DomainTransaction, tx)
		if err != nil {
			b.Fatal(err)
		}
		proofs = append(proofs, &wire.Kept{Index: uint64(2 + push), Transaction: signed})
		say(&wire.ToClient{Kind: &wire.ToClient_Listed{Listed: piece}})
	}
	l.claim = &replica.Claim{Lineage: g.Lineage(), Index: 2 + pushes, Policy: &wire.Policy{Version: 1, Grants: []*wire.Grant{{Key: g.Owner[:], Access: wire.Access_ACCESS_OWNER}}}}
	l.sign()
	listed := frames.Len()
	for _, k := range proofs {
		say(&wire.ToClient{Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{Transactions: []*wire.Kept{k}}}})
	}
	all := frames.Len()
	say(&wire.ToClient{Kind: &wire.ToClient_Vouched{Vouched: l.vouched}})
	home := b.TempDir()
	check := func(b *testing.B, known proved, said []byte) *provedListing {
		s := &session{stream: &cannedStream{Reader: bytes.NewReader(said)}, genesis: g, welcome: &wire.Welcome{Index: 1}}
		checked, err := s.proved(known)
		if err != nil || len(checked.unsigned) > 0 {
			b.Fatal(err, len(checked.unsigned))
		}
		return checked
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if err := check(b, proved{}, frames.Bytes()).remember(home, g.Hash[:]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		said := append(bytes.Clone(frames.Bytes()[:listed]), frames.Bytes()[all:]...)
		for b.Loop() {
			if l := check(b, readProved(home, pin{Genesis: g.Hash.String(), Vouched: &vouchedPin{Index: 1 << 40}}), said); l.checked > 0 {
				b.Fatal(l.checked)
			}
		}
	})
}
