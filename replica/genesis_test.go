package replica

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"peer/identity"
	"peer/wire"
)

func TestGenesis(t *testing.T) {
	for _, members := range []int{1, 3, 5, 7} {
		g, err := NewGenesis(owner, testGenesis(members))
		if err != nil {
			t.Fatal(err)
		}
		if g.Owner != owner.Public() || g.Repo != identity.NewRepoID(owner.Public(), "demo") || g.Hash != identity.HashGenesis(g.Signed.GetBody()) {
			t.Errorf("genesis names %s, %s", g.Owner.DID(), g.Repo)
		}
		if len(g.Members) != members || g.Membership().Quorum() != members/2+1 || len(g.Membership().confState().GetVoters()) != members {
			t.Errorf("%d members, quorum %d, want %d", len(g.Members), g.Membership().Quorum(), members)
		}
		for _, m := range g.Members {
			if got, ok := g.Membership().Member(m.Peer); !ok || got.RaftID != m.RaftID || g.Membership().PeerOf(m.RaftID) != m.Peer {
				t.Errorf("member %s is not found again", m.Peer)
			}
		}
		if _, ok := g.Membership().Member(stranger.PeerID()); ok || g.Membership().PeerOf(99) != "" {
			t.Error("a member was found that is none")
		}
	}
}

func TestObjectFormats(t *testing.T) {
	for format, size := range map[string]int{SHA1: 20, SHA256: 32} {
		body := testGenesis(1)
		body.ObjectFormat = format
		if g, err := NewGenesis(owner, body); err != nil || g.OIDBytes() != size {
			t.Errorf("%s: object IDs of %d bytes, %v", format, g.OIDBytes(), err)
		}
	}
}

// TestPrivateGenesis checks that a program that knows the first version alone refuses
// a private one, and that all else is as before.
func TestPrivateGenesis(t *testing.T) {
	for _, private := range []bool{false, true} {
		made := testGenesis(1)
		made.Private = private
		g, err := NewGenesis(owner, made)
		if err != nil {
			t.Fatal(err)
		}
		body := new(wire.Genesis)
		if _, err := Open(g.Signed, identity.DomainGenesis, body); err != nil {
			t.Fatal(err)
		}
		if g.Private != private || (body.GetVersion() == genesisVersion) == private {
			t.Errorf("private %v, version %d, want %v", g.Private, body.GetVersion(), private)
		}
	}
}

// TestGenesisRefuses changes one field at a time.
func TestGenesisRefuses(t *testing.T) {
	other := stranger.Public()
	for name, edit := range map[string]func(*wire.Genesis){
		"version to come":        func(g *wire.Genesis) { g.Version = 3 },
		"private, of old":        func(g *wire.Genesis) { g.Private = true },
		"public, of new":         func(g *wire.Genesis) { g.Version = privateVersion },
		"no version":             func(g *wire.Genesis) { g.Version = 0 },
		"other owner":            func(g *wire.Genesis) { g.Owner = other[:] },
		"no owner":               func(g *wire.Genesis) { g.Owner = nil },
		"no name":                func(g *wire.Genesis) { g.Name = "" },
		"name with a slash":      func(g *wire.Genesis) { g.Name = "a/b" },
		"long name":              func(g *wire.Genesis) { g.Name = strings.Repeat("a", identity.NameBytesMax+1) },
		"unknown object format":  func(g *wire.Genesis) { g.ObjectFormat = "md5" },
		"no object format":       func(g *wire.Genesis) { g.ObjectFormat = "" },
		"default branch a tag":   func(g *wire.Genesis) { g.DefaultBranch = "refs/tags/v1" },
		"no default branch":      func(g *wire.Genesis) { g.DefaultBranch = "" },
		"no members":             func(g *wire.Genesis) { g.Members = nil },
		"two members":            func(g *wire.Genesis) { g.Members = g.Members[:2] },
		"nine members":           func(g *wire.Genesis) { g.Members = testGenesis(9).Members },
		"member without ID":      func(g *wire.Genesis) { g.Members[1].RaftId = 0 },
		"raft ID twice":          func(g *wire.Genesis) { g.Members[1].RaftId = g.Members[0].RaftId },
		"peer twice":             func(g *wire.Genesis) { g.Members[1].Peer = g.Members[0].Peer },
		"member without peer":    func(g *wire.Genesis) { g.Members[1].Peer = nil },
		"member with a raw key":  func(g *wire.Genesis) { g.Members[1].Peer = other[:] },
		"member without a nonce": func(g *wire.Genesis) { g.Members[1].Nonce = nil },
		"member, short nonce":    func(g *wire.Genesis) { g.Members[1].Nonce = make([]byte, NonceBytes-1) },
	} {
		t.Run(name, func(t *testing.T) {
			body := testGenesis(3)
			public := owner.Public()
			body.Version, body.Owner = genesisVersion, public[:]
			edit(body)
			signed, err := Seal(owner, identity.DomainGenesis, body)
			if err != nil {
				t.Fatal(err)
			}
			if g, err := ParseGenesis(signed); err == nil {
				t.Errorf("accepted: %+v", g)
			}
		})
	}
}

func TestGenesisSignature(t *testing.T) {
	g, err := NewGenesis(owner, testGenesis(3))
	if err != nil {
		t.Fatal(err)
	}
	s := g.Signed
	public := stranger.Public()
	for name, forged := range map[string]*wire.Signed{
		"body":      {Body: append(bytes.Clone(s.Body), 0x40, 1), Signer: s.Signer, Signature: s.Signature},
		"signer":    {Body: s.Body, Signer: public[:], Signature: s.Signature},
		"signature": {Body: s.Body, Signer: s.Signer, Signature: make([]byte, 64)},
		"domain":    {Body: s.Body, Signer: s.Signer, Signature: owner.Sign(identity.DomainTransaction, s.Body)},
	} {
		if _, err := ParseGenesis(forged); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v, want %v", name, err, ErrSignature)
		}
	}
	// Somebody else's signature over a genesis that names the owner.
	theirs := &wire.Signed{Body: s.Body, Signer: public[:], Signature: stranger.Sign(identity.DomainGenesis, s.Body)}
	if _, err := ParseGenesis(theirs); err == nil {
		t.Error("a genesis counts that its owner did not sign")
	}
	if _, err := ParseGenesis(nil); err == nil {
		t.Error("no genesis at all was accepted")
	}
}
