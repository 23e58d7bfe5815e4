package cmd

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// votersAfter is a lineage with one configuration more, of these seats, from an index on;
// who signs for it is a majority of those before.
func (f *fakeReplica) votersAfter(l *replica.Lineage, index uint64, seats []uint64, by ...uint64) *replica.Lineage {
	f.t.Helper()
	before := l.Last()
	next := &wire.Configuration{Genesis: f.genesis.Hash[:], Generation: before.Generation + 1, Index: index, Previous: before.Hash[:]}
	for _, seat := range seats {
		next.Voters = append(next.Voters, &wire.Member{RaftId: seat, Peer: []byte(fakeVoter(seat).PeerID()), Nonce: make([]byte, replica.NonceBytes)})
	}
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(next)
	if err != nil {
		f.t.Fatal(err)
	}
	certificate := &wire.Certificate{Configuration: body}
	for _, seat := range by {
		certificate.Endorsements = append(certificate.Endorsements, &wire.Endorsement{RaftId: seat, Signature: fakeVoter(seat).Sign(identity.DomainConfiguration, body)})
	}
	l, err = l.With(certificate)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// TestFormerVoters fetches with a home that has seen the voters change. Those of before,
// all of them, vouch for another later state, and so do others to whom they gave their
// place once more: both is refused, and what goes on from the voters that are known is not.
func TestFormerVoters(t *testing.T) {
	t.Parallel()
	f, p := clonedOnce(t)
	first := f.genesis.Lineage()
	second := f.votersAfter(first, 4, []uint64{1, 4, 5}, 1, 2)
	vouch := func(l *replica.Lineage, seats ...uint64) {
		f.hook(func() { f.lie = func(said *fakeListing) { said.claim.Lineage, said.voices = l, seats } })
	}
	f.hook(func() { f.index = 5 })
	vouch(second, 4, 5)
	p.run("c", "fetch", "-v").exits(0).says("remote: index 5, signed by 2 of 3 voters")

	oid := p.commit("w", "a", "2")
	p.ok("w", "push", "--quiet")
	before := p.ok("c", "for-each-ref")
	vouch(first, 1, 2, 3)
	p.run("c", "fetch").exits(128).says("its voters, of configuration 0, do not go on from configuration 1, which is known here")
	vouch(f.votersAfter(first, 4, []uint64{1, 2, 4}, 1, 2, 3), 1, 2, 4)
	p.run("c", "fetch").exits(128).says("its voters, of configuration 1, do not go on from configuration 1, which is known here")
	if after := p.ok("c", "for-each-ref"); after != before {
		t.Errorf("refs were\n%s\nand are\n%s", before, after)
	}
	fresh := newPerson(t, f)
	fresh.run("", "clone", f.url(), "c").exits(0) // whoever knows nothing can't tell

	vouch(f.votersAfter(second, 6, []uint64{4, 5, 6}, 4, 5), 5, 6)
	f.hook(func() { f.index = 7 })
	p.run("c", "fetch").exits(0).doesNotSay("peer: ")
	if got := p.ok("c", "rev-parse", "origin/main"); got != oid {
		t.Errorf("fetched %s, want %s", got, oid)
	}
}
