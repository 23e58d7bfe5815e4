package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"peer/identity"
	"peer/wire"
)

// A listing is bound to the log by those who applied it: a voter signs, for an entry
// that it applied, the chain up to there together with the root of its refs and the hash
// of its policy. Nothing in the log does, since who acknowledges an entry does not know
// yet what becomes of it. What is applied is committed; so the word of a majority of the
// certified voters is the group's, and no honest voter ever signs two for one index.

// ErrVouched says that what voters are said to have signed does not hold.
var ErrVouched = errors.New("what is said to be signed does not hold")

// Claim is what a voter says of its table after an entry.
type Claim struct {
	Lineage     *Lineage
	Index       uint64
	Chain, Refs [sha256.Size]byte // Refs is the root
	Policy      *wire.Policy
	// changes are those of the policy up to Index, if all were kept.
	changes []*wire.Kept
}

// Claim is what this member may say after an entry; nil where it has not applied that, or
// has forgotten what its table was then. It may be used on any goroutine.
func (g *Group) Claim(index uint64) *Claim {
	s := g.states.all(index)
	if s.StateHash == nil {
		return nil
	}
	c := &Claim{Lineage: s.lineage, Index: index, Chain: [sha256.Size]byte(s.GetChain()), Refs: s.root, Policy: s.policy}
	for _, k := range g.table.kept.changes {
		if k.GetIndex() <= index {
			c.changes = append(c.changes, k)
		}
	}
	return c
}

// body is what is signed, by voters of the last configuration of the lineage.
func (c *Claim) body() []byte {
	last, policy := c.Lineage.Last(), sha256.Sum256(encode(c.Policy))
	return encode(&wire.Claim{
		Genesis: c.Lineage.genesis.Hash[:], Generation: last.Generation, Configuration: last.Hash[:],
		Index: c.Index, Chain: c.Chain[:], Refs: c.Refs[:], Policy: policy[:],
	})
}

// Sign signs for the seat of the node that holds k; nil where it has no vote.
func (c *Claim) Sign(k identity.Key) *wire.Endorsement {
	for _, m := range c.Lineage.Last().Voters {
		if m.Peer == k.PeerID() {
			return &wire.Endorsement{RaftId: m.RaftID, Signature: k.Sign(identity.DomainClaim, c.body())}
		}
	}
	return nil
}

// Signed says whose signature over the claim e is.
func (c *Claim) Signed(e *wire.Endorsement) (by Member, ok bool) {
	m, ok := c.Lineage.Last().Voter(e.GetRaftId())
	if !ok {
		return m, false
	}
	key, err := m.Peer.PublicKey()
	return m, err == nil && key.Verify(identity.DomainClaim, c.body(), e.GetSignature())
}

// Wire is the claim with signatures, as it is sent.
func (c *Claim) Wire(signatures []*wire.Endorsement) *wire.Vouched {
	return &wire.Vouched{
		Index: c.Index, Chain: c.Chain[:], Refs: c.Refs[:], Policy: c.Policy, PolicyChanges: c.changes,
		Lineage: c.Lineage.Wire(), Signatures: signatures,
	}
}

// Vouched is a claim from outside, with those who are known to have signed it.
type Vouched struct {
	Claim
	Signers []Member
	history *history
}

// Majority says that the signers are one of the certified voters.
func (v *Vouched) Majority() bool { return len(v.Signers) > len(v.Lineage.Last().Voters)/2 }

// ParseVouched checks a claim from outside: every signature, that no node signs twice, and
// that the changes of the policy lead from the genesis to the policy that is signed. How
// many have signed is for the caller to judge, and whether the lineage goes on from the one
// that it knows.
func ParseVouched(g *Genesis, raw *wire.Vouched, rules Rules) (*Vouched, error) {
	lineage, err := ParseLineage(g, raw.GetLineage())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVouched, err)
	}
	if len(raw.GetChain()) != sha256.Size || len(raw.GetRefs()) != sha256.Size || raw.GetPolicy() == nil || raw.GetIndex() < firstIndex {
		return nil, fmt.Errorf("%w: a part is missing", ErrVouched)
	}
	v := &Vouched{Claim: Claim{
		Lineage: lineage, Index: raw.GetIndex(), Chain: [sha256.Size]byte(raw.GetChain()), Refs: [sha256.Size]byte(raw.GetRefs()),
		Policy: raw.GetPolicy(), changes: raw.GetPolicyChanges(),
	}}
	nodes := map[identity.PeerID]bool{}
	for _, e := range raw.GetSignatures() {
		m, ok := v.Signed(e)
		if !ok || nodes[m.Peer] {
			return nil, fmt.Errorf("%w: seat %d of configuration %d did not sign this, is none, or is there twice", ErrVouched, e.GetRaftId(), lineage.Last().Generation)
		}
		nodes[m.Peer] = true
		v.Signers = append(v.Signers, m)
	}
	if v.history, err = g.history(v.changes, v.Policy, rules); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrVouched, err)
	}
	return v, nil
}

// GoesOnFrom says whether l leads on from a configuration that was its last one once.
// Where it begins later, with what the owner confirmed, the owner's word counts.
func (l *Lineage) GoesOnFrom(generation uint64, hash []byte) bool {
	if l.Last().Generation < generation {
		return false
	}
	same := l.at(generation)
	return same == nil || bytes.Equal(same.Hash[:], hash)
}
