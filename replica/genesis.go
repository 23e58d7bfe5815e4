package replica

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

const (
	genesisVersion = 1
	// privateVersion is of those that are private: a program that does not know the
	// word would show the repository to everybody.
	privateVersion = 2
	// NonceBytes is the size of a member's nonce.
	NonceBytes = 16
	// genesisBytesMax leaves room for it in every record that carries it as proof.
	genesisBytesMax = 16 << 10
	// MembersMax bounds the voters of a group: beyond seven a majority costs more
	// than it protects.
	MembersMax = 7
	// seatsMax bounds the seats, of which some may be on their way in or out.
	seatsMax = 2*MembersMax + 2
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
	// Private: only the members, and keys with a role, may know of it.
	Private bool
}

// NewGenesis signs a genesis with its owner's key.
func NewGenesis(owner identity.Signer, g *wire.Genesis) (*Genesis, error) {
	public := owner.Public()
	g.Version, g.Owner = versionOfGenesis(g), public[:]
	signed, err := Seal(owner, identity.DomainGenesis, g)
	if err != nil {
		return nil, err
	}
	return ParseGenesis(signed)
}

func versionOfGenesis(g *wire.Genesis) uint32 {
	if g.GetPrivate() {
		return privateVersion
	}
	return genesisVersion
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
		Private:       body.GetPrivate(),
	}
	if err := g.check(body); err != nil {
		return nil, fmt.Errorf("genesis of %.100q: %w", body.GetName(), err)
	}
	return g, nil
}

func (g *Genesis) check(body *wire.Genesis) error {
	switch {
	case body.GetVersion() > privateVersion:
		return fmt.Errorf("version %d, this peer knows %d: upgrade it", body.GetVersion(), privateVersion)
	case body.GetVersion() != versionOfGenesis(body):
		return fmt.Errorf("version %d, and private: %v", body.GetVersion(), g.Private)
	case !bytes.Equal(body.GetOwner(), g.Owner[:]):
		return errors.New("not signed by the owner it names")
	case g.ObjectFormat != SHA1 && g.ObjectFormat != SHA256:
		return fmt.Errorf("unknown object format %.20q", g.ObjectFormat)
	case !strings.HasPrefix(g.DefaultBranch, "refs/heads/"):
		return fmt.Errorf("default branch %.100q is not below refs/heads/", g.DefaultBranch)
	case len(body.GetMembers()) == 0 || len(body.GetMembers()) > MembersMax || len(body.GetMembers())%2 == 0:
		return fmt.Errorf("%d members: want an odd number up to %d", len(body.GetMembers()), MembersMax)
	case len(g.Policy.GetGrants())+len(g.Policy.GetProtections()) > 0:
		return errors.New("grants or rules in a genesis of a version that knows writers alone")
	}
	if err := identity.CheckName(g.Name); err != nil {
		return err
	}
	return g.checkMembers(body.GetMembers())
}

func (g *Genesis) checkMembers(list []*wire.Member) error {
	members, err := parseMembers(list)
	if err != nil {
		return err
	}
	peers := map[identity.PeerID]bool{}
	for _, m := range members {
		if peers[m.Peer] || m.Role != Voter || len(m.Proof) > 0 {
			return fmt.Errorf("member %s: malformed or twice", m.Peer)
		}
		peers[m.Peer] = true
	}
	g.Members = members
	return nil
}

// Membership is the group as it was founded.
func (g *Genesis) Membership() *Membership {
	ms := &Membership{Index: firstIndex, Members: g.Members, NextRaftID: 1, Lineage: g.Lineage()}
	for _, m := range g.Members {
		ms.NextRaftID = max(ms.NextRaftID, m.RaftID+1)
	}
	return ms
}

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

// Found is what a member saves when it takes its seat.
func (g *Genesis) Found(rules Rules) Save {
	t := newTable(g, rules)
	t.meta = &wire.TableMeta{
		Index: firstIndex, Term: firstTerm, Chain: g.Hash[:], ChainVersion: chainVersion,
		Head: g.DefaultBranch, Policy: g.Policy,
		RefsHash: HashRefs(nil, g.DefaultBranch),
	}
	t.saveAll()
	return Save{
		Repo:      g.Repo,
		HardState: &pb.HardState{Term: new(uint64(firstTerm)), Commit: new(uint64(firstIndex)), Vote: new(uint64(0))},
		Install:   &pb.SnapshotMetadata{Index: new(uint64(firstIndex)), Term: new(uint64(firstTerm)), ConfState: g.Membership().confState()},
		Table:     t.drain(),
	}
}
