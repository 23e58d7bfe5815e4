package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// A receipt is gathered from acknowledgements. A follower signs the position of the
// last entry that a turn brought it, where somebody's transaction is among them; the
// leader, who needs no round trip for it, signs the one that it is asked about.
//
// What is signed by a majority is in the log of every later leader: the entry is of
// the signers' current term, all before it is on their disks, and a member only signs
// while its table is at every change of members in its log, and none is under way. So
// the configuration that it names is the one in force at that entry, and one that a
// newer configuration replaced is never named for what came after.

const (
	// linksMax bounds a receipt: the signed entries are at most so far from the
	// transaction's, itself included.
	linksMax = 64
	// heldMax is how many signatures of one member a leader remembers, one for each
	// turn of the member.
	heldMax = 64
)

// attested is what a member knows of signed positions in one term.
type attested struct {
	term uint64
	own  *wire.Held // the last one of this member, a follower
	// by holds what members sent to this one, a leader, by seat, and in order. They
	// are checked when a receipt is asked for: that takes longer than a turn should.
	by map[uint64][]*wire.Held
}

// in forgets what was signed in another term.
func (a *attested) in(term uint64) *attested {
	if a.term != term {
		*a = attested{term: term, by: map[uint64][]*wire.Held{}}
	}
	return a
}

// position is what is signed about an entry.
func position(c *Configuration, genesis *Genesis, index, term uint64, chain [sha256.Size]byte) []byte {
	return encode(&wire.Position{
		Genesis: genesis.Hash[:], Generation: c.Generation, Configuration: c.Hash[:], Term: term, Index: index, Chain: chain[:],
	})
}

// attest signs, at the end of a turn, what the turn makes durable; the signature rides
// in the acknowledgement, which leaves after that.
func (g *Group) attest(t *Turn) {
	b := g.rn.BasicStatus()
	if b.RaftState != raft.StateFollower || b.Lead == raft.None {
		return
	}
	a := g.attested.in(b.GetTerm())
	for i := range t.Save.Entries {
		if at := g.trail.at(t.Save.Entries[i].GetIndex()); at != nil && at.signed() {
			a.own = g.signLast(b.GetTerm())
			break
		}
	}
	for i := len(t.Messages) - 1; a.own != nil && i >= 0; i-- {
		// An older one again does no harm: its first message may have got lost.
		m := t.Messages[i]
		if m.GetType() == pb.MsgAppResp && m.GetTo() == b.Lead && !m.GetReject() && len(m.GetContext()) == 0 {
			m.Context = encode(&wire.Vouch{Held: a.own})
			return
		}
	}
}

// signLast signs the last entry of the log; nil where that may not be.
func (g *Group) signLast(term uint64) *wire.Held {
	c, last := g.certified(), g.trail.last()
	if at := g.trail.at(last); c == nil || at == nil || at.Term != term || last <= c.Index {
		return nil
	}
	for i := g.table.Index() + 1; i <= last; i++ {
		if g.trail.at(i).Kind != pb.EntryNormal {
			return nil // another configuration is in force at last, perhaps
		}
	}
	at := g.trail.at(last)
	return &wire.Held{
		Generation: c.Generation, Term: term, Index: last,
		Signature: g.key.Sign(identity.DomainReceipt, position(c, g.genesis, last, term, at.chain)),
	}
}

// certified is the configuration in force, where this member has a vote in it and no
// change is under way.
func (g *Group) certified() *Configuration {
	ms := g.table.members
	if c := ms.Lineage.Last(); !ms.Joint() && c.names(g.Self()) {
		return c
	}
	return nil
}

// takeHeld takes in what a member says is on its disk.
func (g *Group) takeHeld(from Member, h *wire.Held) {
	b := g.rn.BasicStatus()
	if h == nil || b.RaftState != raft.StateLeader || h.GetTerm() != b.GetTerm() || from.Role != Voter {
		return
	}
	a := g.attested.in(b.GetTerm())
	list := a.by[from.RaftID]
	if n := len(list); n > 0 && list[n-1].GetIndex() >= h.GetIndex() {
		return // told again
	}
	if len(list) >= heldMax {
		list = append(list[:0:0], list[1:]...)
	}
	a.by[from.RaftID] = append(list, &wire.Held{
		Generation: h.GetGeneration(), Term: h.GetTerm(), Index: h.GetIndex(), Signature: bytes.Clone(h.GetSignature()),
	})
}

// Evidence is what a leader has for a receipt. It may be used on any goroutine.
type Evidence struct {
	lineage *Lineage
	self    Member
	index   uint64
	before  [sha256.Size]byte
	links   []trailLink
	held    map[uint64]*wire.Held // of others, by seat
}

// ErrNoReceipt says that an entry can't be proved; why is for people.
var ErrNoReceipt = errors.New("no receipt")

// Evidence gathers what proves the entry at index, which this member has applied.
func (g *Group) Evidence(index uint64) (*Evidence, error) {
	c := g.certified()
	switch {
	case c == nil:
		return nil, fmt.Errorf("%w while the voters change", ErrNoReceipt)
	case index <= c.Index || index < g.trail.first:
		return nil, fmt.Errorf("%w for what was committed before", ErrNoReceipt)
	case index > g.table.Index():
		return nil, fmt.Errorf("%w for what is not applied here", ErrNoReceipt)
	}
	e := &Evidence{lineage: g.table.members.Lineage, self: g.Self(), index: index, before: g.trail.before(index), held: map[uint64]*wire.Held{}}
	end := index
	for id, list := range g.attested.by {
		for _, h := range list {
			if i := h.GetIndex(); i >= index && i-index < linksMax && i <= g.trail.last() && h.GetGeneration() == c.Generation {
				e.held[id], end = h, max(end, i)
				break
			}
		}
	}
	for i := index; i <= end; i++ {
		e.links = append(e.links, *g.trail.at(i))
	}
	return e, nil
}

// Receipt signs for this member, whose key k is, checks what the others signed, and
// makes a receipt, which lacks genesis and transaction.
func (e *Evidence) Receipt(k identity.Key) (*wire.Receipt, error) {
	c := e.lineage.Last()
	r := &wire.Receipt{Lineage: e.lineage.Wire(), Index: e.index, Before: e.before[:]}
	end := e.index
	for _, m := range c.Voters {
		s := &wire.Signature{RaftId: m.RaftID, Index: e.index}
		if m.RaftID == e.self.RaftID {
			s.Signature = k.Sign(identity.DomainReceipt, position(c, e.lineage.genesis, e.index, e.links[0].Term, e.links[0].chain))
		} else if h := e.held[m.RaftID]; h != nil {
			s.Index, s.Signature = h.GetIndex(), h.GetSignature()
			// One that does not hold here is of another log, or a lie.
			if at := e.links[s.Index-e.index]; !c.holds(m, e.lineage.genesis, s.Index, at.Term, at.chain, s.Signature) {
				continue
			}
			end = max(end, s.Index)
		} else {
			continue
		}
		r.Signatures = append(r.Signatures, s)
	}
	if len(r.Signatures) <= len(c.Voters)/2 {
		return nil, fmt.Errorf("%w: %d of %d voters have signed", ErrNoReceipt, len(r.Signatures), len(c.Voters))
	}
	for i := e.index; i <= end; i++ {
		r.Links = append(r.Links, e.links[i-e.index].wire())
	}
	return r, nil
}

// holds says whether a signature is that of the node in m's seat, over a position.
func (c *Configuration) holds(m Member, g *Genesis, index, term uint64, chain [sha256.Size]byte, signature []byte) bool {
	key, err := m.Peer.PublicKey()
	return err == nil && key.Verify(identity.DomainReceipt, position(c, g, index, term, chain), signature)
}

func (l Link) wire() *wire.Link {
	w := &wire.Link{Term: l.Term, Kind: uint32(l.Kind), Entry: bytes.Clone(l.Entry[:])}
	if l.signed() {
		w.Transaction = bytes.Clone(l.Transaction[:])
	}
	return w
}
