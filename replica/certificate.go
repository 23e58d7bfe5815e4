package replica

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	// certificatesMax bounds a lineage: the changes of voters since the genesis, or
	// since the owner last confirmed a configuration.
	certificatesMax = 64
	// checkpointBytesMax bounds the owner's transaction that a lineage may begin with,
	// so that all of it has room in a record.
	checkpointBytesMax = 8 << 10
	// configurationBytesMax bounds one configuration as it is signed.
	configurationBytesMax = 2048
)

// ErrCertificate says that voters are not proved.
var ErrCertificate = errors.New("the certificate does not hold")

// Configuration is who votes from one entry on, as it is signed.
type Configuration struct {
	Generation uint64
	Index      uint64 // of the entry
	Voters     []Member
	Hash       [sha256.Size]byte
	// Body is what is signed; the genesis's configuration has none.
	Body []byte
}

// Configuration is the first one, which the owner signed.
func (g *Genesis) configuration() *Configuration {
	return &Configuration{Index: firstIndex, Voters: g.Members, Hash: [sha256.Size]byte(g.Hash)}
}

// next is the configuration that follows c.
func (c *Configuration) next(g *Genesis, index uint64, voters []Member) *Configuration {
	body := &wire.Configuration{Genesis: g.Hash[:], Generation: c.Generation + 1, Index: index, Previous: c.Hash[:]}
	voters = slices.SortedFunc(slices.Values(voters), func(a, b Member) int { return cmp.Compare(a.RaftID, b.RaftID) })
	for i, m := range voters {
		voters[i] = Member{RaftID: m.RaftID, Peer: m.Peer, Nonce: m.Nonce}
		body.Voters = append(body.Voters, voters[i].Wire())
	}
	raw := encode(body)
	return &Configuration{Generation: body.Generation, Index: index, Voters: voters, Hash: sha256.Sum256(raw), Body: raw}
}

// parseConfiguration decodes one. Its bytes are those that [Configuration.next]
// would write: one configuration has one hash.
func parseConfiguration(g *Genesis, raw []byte) (*Configuration, []byte, error) {
	if len(raw) > configurationBytesMax {
		return nil, nil, fmt.Errorf("configuration of %d bytes, want %d at most", len(raw), configurationBytesMax)
	}
	body := new(wire.Configuration)
	if err := proto.Unmarshal(raw, body); err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	voters, err := parseMembers(body.GetVoters())
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("configuration: %w", err)
	case !bytes.Equal(body.GetGenesis(), g.Hash[:]):
		return nil, nil, errors.New("configuration of another repository, or of another genesis of this one")
	case body.GetGeneration() == 0 || len(body.GetPrevious()) != sha256.Size:
		return nil, nil, errors.New("configuration that follows none")
	}
	before := &Configuration{Generation: body.GetGeneration() - 1, Hash: [sha256.Size]byte(body.GetPrevious())}
	c := before.next(g, body.GetIndex(), voters)
	if err := (&Membership{Members: c.Voters}).checkHalves(); err != nil {
		return nil, nil, fmt.Errorf("configuration: %w", err)
	}
	if !bytes.Equal(c.Body, raw) {
		return nil, nil, errors.New("configuration that is not spelt as it should be")
	}
	return c, body.GetPrevious(), nil
}

// Voter finds a seat among the voters.
func (c *Configuration) Voter(raftID uint64) (Member, bool) {
	for _, m := range c.Voters {
		if m.RaftID == raftID {
			return m, true
		}
	}
	return Member{}, false
}

// HasVoter says whether a node votes.
func (c *Configuration) HasVoter(p identity.PeerID) bool {
	return slices.ContainsFunc(c.Voters, func(m Member) bool { return m.Peer == p })
}

// names says whether the configuration gives that seat to that disk.
func (c *Configuration) names(m Member) bool {
	v, ok := c.Voter(m.RaftID)
	return ok && v.Peer == m.Peer && bytes.Equal(v.Nonce, m.Nonce)
}

// endorsedBy says whether a signature over c is that of the node in m's seat.
func (c *Configuration) endorsedBy(m Member, signature []byte) bool {
	key, err := m.Peer.PublicKey()
	return err == nil && key.Verify(identity.DomainConfiguration, c.Body, signature)
}

// certify makes the certificate of next, which follows c, of signatures by seat;
// nil while too few of c's voters signed. Its size does not grow with what is
// more than enough.
func (c *Configuration) certify(next *Configuration, signatures map[uint64][]byte) *wire.Certificate {
	cert, nodes := &wire.Certificate{Configuration: next.Body}, map[identity.PeerID]bool{}
	for _, m := range c.Voters {
		if s := signatures[m.RaftID]; s != nil && !nodes[m.Peer] && len(nodes) <= len(c.Voters)/2 {
			cert.Endorsements = append(cert.Endorsements, &wire.Endorsement{RaftId: m.RaftID, Signature: s})
			nodes[m.Peer] = true
		}
	}
	if len(nodes) <= len(c.Voters)/2 {
		return nil
	}
	return cert
}

// follow checks a certificate of what follows c: signed by a majority of c's
// voters, and by nobody else, nor twice by one node, whatever seats it has.
func (c *Configuration) follow(g *Genesis, cert *wire.Certificate) (*Configuration, error) {
	next, previous, err := parseConfiguration(g, cert.GetConfiguration())
	if err != nil {
		return nil, err
	}
	if next.Generation != c.Generation+1 || !bytes.Equal(previous, c.Hash[:]) || next.Index <= c.Index {
		return nil, fmt.Errorf("configuration %d does not follow configuration %d: %w", next.Generation, c.Generation, ErrCertificate)
	}
	nodes := map[identity.PeerID]bool{}
	for _, e := range cert.GetEndorsements() {
		m, ok := c.Voter(e.GetRaftId())
		if !ok || nodes[m.Peer] || !next.endorsedBy(m, e.GetSignature()) {
			return nil, fmt.Errorf("configuration %d: signature of seat %d, which is none, or twice: %w", next.Generation, e.GetRaftId(), ErrCertificate)
		}
		nodes[m.Peer] = true
	}
	if len(nodes) <= len(c.Voters)/2 {
		return nil, fmt.Errorf("configuration %d is signed by %d of the %d voters before: %w", next.Generation, len(nodes), len(c.Voters), ErrCertificate)
	}
	return next, nil
}
