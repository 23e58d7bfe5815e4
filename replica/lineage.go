package replica

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Lineage proves who votes to those who know nothing but the genesis: the
// configurations of the group, each certified by the voters of the one before. It
// does not change: the next configuration is another value.
type Lineage struct {
	genesis *Genesis
	// configurations are one more than the certificates: the first one is the
	// genesis's, or the one that the checkpoint names.
	configurations []*Configuration
	certificates   []*wire.Certificate
	checkpoint     *wire.Signed
	// successions lead from the owner to whoever signed the checkpoint.
	successions []*wire.Signed
}

// Lineage is that of a group whose voters never changed.
func (g *Genesis) Lineage() *Lineage {
	return &Lineage{genesis: g, configurations: []*Configuration{g.configuration()}}
}

// ParseLineage checks a lineage from outside. None at all is the genesis's.
func ParseLineage(g *Genesis, raw *wire.Lineage) (*Lineage, error) {
	if len(raw.GetCertificates()) > certificatesMax {
		return nil, fmt.Errorf("lineage of %d changes, want %d at most", len(raw.GetCertificates()), certificatesMax)
	}
	l := g.Lineage()
	if raw.GetCheckpoint() != nil {
		confirmed, _, err := parseConfiguration(g, raw.GetConfiguration())
		if err != nil {
			return nil, err
		}
		if l, err = l.confirmed(raw.GetCheckpoint(), confirmed, raw.GetSuccessions()); err != nil {
			return nil, err
		}
	} else if len(raw.GetConfiguration())+len(raw.GetSuccessions()) > 0 {
		return nil, errors.New("lineage with a configuration, or an owner, and no checkpoint")
	}
	for _, cert := range raw.GetCertificates() {
		next, err := l.With(cert)
		if err != nil {
			return nil, err
		}
		l = next
	}
	return l, nil
}

// With is the lineage with one configuration more.
func (l *Lineage) With(cert *wire.Certificate) (*Lineage, error) {
	if l.Full() {
		return nil, fmt.Errorf("%d changes of voters since the owner last confirmed them", len(l.certificates))
	}
	next, err := l.Last().follow(l.genesis, cert)
	if err != nil {
		return nil, err
	}
	kept := &wire.Certificate{Configuration: next.Body} // and nothing that somebody added
	for _, e := range cert.GetEndorsements() {
		kept.Endorsements = append(kept.Endorsements, &wire.Endorsement{RaftId: e.GetRaftId(), Signature: e.GetSignature()})
	}
	return &Lineage{
		genesis: l.genesis, checkpoint: l.checkpoint, successions: l.successions,
		configurations: append(slices.Clip(l.configurations), next), certificates: append(slices.Clip(l.certificates), kept),
	}, nil
}

// confirmed is the lineage that begins at c, which the owner's transaction names, or
// that of the key to which successions lead.
func (l *Lineage) confirmed(signed *wire.Signed, c *Configuration, successions []*wire.Signed) (*Lineage, error) {
	if len(signed.GetBody()) > checkpointBytesMax {
		return nil, fmt.Errorf("checkpoint of %d bytes, want %d at most", len(signed.GetBody()), checkpointBytesMax)
	}
	tx := new(wire.Transaction)
	signer, err := Open(signed, identity.DomainTransaction, tx)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	owner, successions, err := l.genesis.succeeded(signer, successions)
	if err != nil {
		return nil, err
	}
	if signer != owner || !bytes.Equal(tx.GetGenesis(), l.genesis.Hash[:]) {
		return nil, errors.New("checkpoint that is not the owner's, or of another repository")
	}
	if !slices.ContainsFunc(tx.GetOperations(), func(op *wire.Operation) bool {
		return bytes.Equal(op.GetConfigure().GetConfiguration(), c.Hash[:])
	}) {
		return nil, errors.New("checkpoint of another configuration")
	}
	return &Lineage{genesis: l.genesis, checkpoint: bare(signed), successions: successions, configurations: []*Configuration{c}}, nil
}

// Full says that the voters can't change again before the owner confirms them.
func (l *Lineage) Full() bool { return l != nil && len(l.certificates) >= certificatesMax }

// Genesis is where the lineage begins.
func (l *Lineage) Genesis() *Genesis { return l.genesis }

// Last is the newest configuration that is certified.
func (l *Lineage) Last() *Configuration { return l.configurations[len(l.configurations)-1] }

// Wire is the lineage as it is sent.
func (l *Lineage) Wire() *wire.Lineage {
	raw := &wire.Lineage{Checkpoint: l.checkpoint, Certificates: l.certificates, Successions: l.successions}
	if l.checkpoint != nil {
		raw.Configuration = l.configurations[0].Body
	}
	return raw
}

// Had says whether a node ever voted, as far back as the lineage goes.
func (l *Lineage) Had(p identity.PeerID) bool {
	return slices.ContainsFunc(l.configurations, func(c *Configuration) bool { return c.HasVoter(p) })
}

// Same says whether raw is this lineage, which was checked already.
func (l *Lineage) Same(raw *wire.Lineage) bool { return proto.Equal(l.Wire(), raw) }

// at finds a configuration by its generation; nil where the lineage does not name it.
func (l *Lineage) at(generation uint64) *Configuration {
	first := l.configurations[0].Generation
	if generation < first || generation > l.Last().Generation {
		return nil
	}
	return l.configurations[generation-first]
}

// Extends says whether l goes on where other ends, or is the same. Where it begins
// later, with what the owner confirmed, the owner's word counts.
func (l *Lineage) Extends(other *Lineage) bool {
	if l.Last().Generation < other.Last().Generation {
		return false
	}
	if same := l.at(other.Last().Generation); same != nil {
		return same.Hash == other.Last().Hash
	}
	return true
}

// Introduce signs a new seat for a node, on behalf of the voter that holds k.
func Introduce(k identity.Key, g *Genesis, peer identity.PeerID, raftID uint64) ([]*wire.Signed, error) {
	signed, err := Seal(k, identity.DomainIntroduction, &wire.Introduction{Genesis: g.Hash[:], Peer: []byte(peer), RaftId: raftID})
	if err != nil {
		return nil, err
	}
	return []*wire.Signed{signed}, nil
}

// VerifySeat checks a seat: a configuration names it, or, where it has no vote
// yet, one of the voters introduced it.
func (l *Lineage) VerifySeat(m Member) error {
	taken := false
	for _, c := range l.configurations {
		if c.names(m) {
			return nil
		}
		_, in := c.Voter(m.RaftID)
		taken = taken || in
	}
	if taken || len(m.Proof) != 1 {
		return fmt.Errorf("seat %d of %s is in no configuration, and has %d introductions", m.RaftID, m.Peer, len(m.Proof))
	}
	in := new(wire.Introduction)
	signer, err := Open(m.Proof[0], identity.DomainIntroduction, in)
	if err != nil {
		return fmt.Errorf("seat %d of %s: %w", m.RaftID, m.Peer, err)
	}
	by := signer.PeerID()
	switch {
	case !bytes.Equal(in.GetGenesis(), l.genesis.Hash[:]) || string(in.GetPeer()) != string(m.Peer) || in.GetRaftId() != m.RaftID:
		return fmt.Errorf("seat %d of %s: the introduction is for another seat", m.RaftID, m.Peer)
	case !slices.ContainsFunc(l.configurations, func(c *Configuration) bool { return c.HasVoter(by) }):
		return fmt.Errorf("seat %d of %s: introduced by %s, who may not", m.RaftID, m.Peer, by)
	}
	return nil
}

// ParseSeats checks a list of seats from outside, and that each proves itself.
func (l *Lineage) ParseSeats(raw []*wire.Member) ([]Member, error) {
	list, err := parseMembers(raw)
	for _, m := range list {
		if err == nil {
			err = l.VerifySeat(m)
		}
	}
	return list, err
}

// CheckVoters says whether the voters of a membership, in the old half of a change
// under way, are those that are certified.
func (l *Lineage) CheckVoters(ms *Membership) error {
	voters := 0
	for _, m := range ms.Members {
		if m.Role != Voter && m.Role != Outgoing {
			continue
		}
		if voters++; !l.Last().names(m) {
			return fmt.Errorf("seat %d of %s votes in no certified configuration: %w", m.RaftID, m.Peer, ErrCertificate)
		}
	}
	if voters != len(l.Last().Voters) {
		return fmt.Errorf("%d voters, and %d are certified: %w", voters, len(l.Last().Voters), ErrCertificate)
	}
	return nil
}
