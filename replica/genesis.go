package replica

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

const (
	genesisVersion = 1
	// NonceBytes is the size of a member's nonce.
	NonceBytes = 16
	// genesisBytesMax leaves room for it in every record that carries it as proof.
	genesisBytesMax = 16 << 10
	// MembersMax bounds a group: beyond seven a majority costs more than it protects.
	MembersMax = 7
)

// Object formats, as git spells them.
const (
	SHA1   = "sha1"
	SHA256 = "sha256"
)

// Genesis is the checked content of a signed genesis.
type Genesis struct {
	Signed        *wire.Signed
	Hash          identity.GenesisHash
	Repo          identity.RepoID
	Owner         identity.PublicKey
	Name          string
	ObjectFormat  string
	DefaultBranch string
	Members       []Member
	Policy        *wire.Policy
}

// Member is one seat. RaftID is never reused within a repository.
type Member struct {
	RaftID uint64
	Peer   identity.PeerID
	Nonce  []byte
}

// NewGenesis signs a genesis with its owner's key.
func NewGenesis(owner identity.Key, g *wire.Genesis) (*Genesis, error) {
	public := owner.Public()
	g.Version, g.Owner = genesisVersion, public[:]
	signed, err := Seal(owner, identity.DomainGenesis, g)
	if err != nil {
		return nil, err
	}
	return ParseGenesis(signed)
}

// ParseGenesis verifies and checks a genesis from outside.
func ParseGenesis(s *wire.Signed) (*Genesis, error) {
	if len(s.GetBody()) > genesisBytesMax {
		return nil, fmt.Errorf("genesis of %d bytes, want %d at most", len(s.GetBody()), genesisBytesMax)
	}
	body := new(wire.Genesis)
	signer, err := Open(s, identity.DomainGenesis, body)
	if err != nil {
		return nil, err
	}
	g := &Genesis{
		Signed:        s,
		Hash:          identity.HashGenesis(s.GetBody()),
		Repo:          identity.NewRepoID(signer, body.GetName()),
		Owner:         signer,
		Name:          body.GetName(),
		ObjectFormat:  body.GetObjectFormat(),
		DefaultBranch: body.GetDefaultBranch(),
		Policy:        body.GetPolicy(),
	}
	if err := g.check(body); err != nil {
		return nil, fmt.Errorf("genesis of %.100q: %w", body.GetName(), err)
	}
	return g, nil
}

func (g *Genesis) check(body *wire.Genesis) error {
	switch {
	case body.GetVersion() != genesisVersion:
		return fmt.Errorf("version %d, this peer knows %d: upgrade it", body.GetVersion(), genesisVersion)
	case !bytes.Equal(body.GetOwner(), g.Owner[:]):
		return errors.New("not signed by the owner it names")
	case g.ObjectFormat != SHA1 && g.ObjectFormat != SHA256:
		return fmt.Errorf("unknown object format %.20q", g.ObjectFormat)
	case !strings.HasPrefix(g.DefaultBranch, "refs/heads/"):
		return fmt.Errorf("default branch %.100q is not below refs/heads/", g.DefaultBranch)
	case len(body.GetMembers()) == 0 || len(body.GetMembers()) > MembersMax || len(body.GetMembers())%2 == 0:
		return fmt.Errorf("%d members: want an odd number up to %d", len(body.GetMembers()), MembersMax)
	}
	if err := identity.CheckName(g.Name); err != nil {
		return err
	}
	return g.checkMembers(body.GetMembers())
}

func (g *Genesis) checkMembers(members []*wire.Member) error {
	ids, peers := map[uint64]bool{}, map[identity.PeerID]bool{}
	for _, m := range members {
		peer, err := identity.PeerIDFromBytes(m.GetPeer())
		if err != nil {
			return fmt.Errorf("member: %w", err)
		}
		if m.GetRaftId() == 0 || m.GetRaftId() > math.MaxUint32 || ids[m.GetRaftId()] || peers[peer] || len(m.GetNonce()) != NonceBytes {
			return fmt.Errorf("member %s: malformed or twice", peer)
		}
		ids[m.GetRaftId()], peers[peer] = true, true
		g.Members = append(g.Members, Member{RaftID: m.GetRaftId(), Peer: peer, Nonce: m.GetNonce()})
	}
	return nil
}

// Member finds p's seat.
func (g *Genesis) Member(p identity.PeerID) (Member, bool) {
	for _, m := range g.Members {
		if m.Peer == p {
			return m, true
		}
	}
	return Member{}, false
}

// PeerOf names the node in a seat; empty for an ID that no seat has.
func (g *Genesis) PeerOf(raftID uint64) identity.PeerID {
	for _, m := range g.Members {
		if m.RaftID == raftID {
			return m.Peer
		}
	}
	return ""
}

// Quorum is how many members must hold an entry.
func (g *Genesis) Quorum() int { return len(g.Members)/2 + 1 }

// OIDBytes is the size of an object ID of this repository.
func (g *Genesis) OIDBytes() int {
	if g.ObjectFormat == SHA256 {
		return 32
	}
	return 20
}

// firstIndex is where a group begins: its genesis and configuration are the
// snapshot at this position, so no replica ever starts from an empty log.
const firstIndex, firstTerm = 1, 1

func (g *Genesis) confState() *pb.ConfState {
	conf := &pb.ConfState{}
	for _, m := range g.Members {
		conf.Voters = append(conf.Voters, m.RaftID)
	}
	return conf
}

// Found is what a member saves when it takes its seat.
func (g *Genesis) Found(rules Rules) Save {
	t := newTable(g, rules)
	t.meta = &wire.TableMeta{
		Index: firstIndex, Term: firstTerm, Chain: g.Hash[:],
		Head: g.DefaultBranch, Policy: g.Policy,
		RefsHash: HashRefs(nil, g.DefaultBranch),
	}
	t.saveAll()
	return Save{
		Repo:      g.Repo,
		HardState: &pb.HardState{Term: new(uint64(firstTerm)), Commit: new(uint64(firstIndex)), Vote: new(uint64(0))},
		Install:   &pb.SnapshotMetadata{Index: new(uint64(firstIndex)), Term: new(uint64(firstTerm)), ConfState: g.confState()},
		Table:     t.drain(),
	}
}
