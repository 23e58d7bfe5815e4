package replica

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// ReceiptBytesMax bounds a receipt: lineage and links, and a transaction that may move
// many refs.
const ReceiptBytesMax = 4 << 20

// ErrReceipt says that a receipt proves nothing.
var ErrReceipt = errors.New("the receipt does not hold")

// Receipt is one that was checked: a majority of the certified voters signed that
// Transaction is the entry at Index of their logs, on disk.
type Receipt struct {
	Genesis     *Genesis
	Signer      identity.PublicKey // whose transaction it is
	Transaction *wire.Transaction
	Index, Term uint64
	Lineage     *Lineage
	Signers     []Member
	Raw         *wire.Receipt // as it came

	// chains[i] is the chain after entry Index-1+i.
	chains [][sha256.Size]byte
}

// Voters is how many there are of whom the signers are a majority.
func (r *Receipt) Voters() int { return len(r.Lineage.Last().Voters) }

// ParseReceipt checks a receipt from outside. It needs nothing but the receipt; who
// knows the repository compares the genesis, and the lineage with [Lineage.Extends].
func ParseReceipt(raw *wire.Receipt) (*Receipt, error) {
	if proto.Size(raw) > ReceiptBytesMax {
		return nil, fmt.Errorf("receipt of more than %d bytes: %w", ReceiptBytesMax, ErrReceipt)
	}
	g, err := ParseGenesis(raw.GetGenesis())
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r := &Receipt{Genesis: g, Index: raw.GetIndex(), Transaction: new(wire.Transaction), Raw: raw}
	if r.Signer, err = Open(raw.GetTransaction(), identity.DomainTransaction, r.Transaction); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if !bytes.Equal(r.Transaction.GetGenesis(), g.Hash[:]) || !bytes.Equal(r.Transaction.GetSigner(), r.Signer[:]) {
		return nil, fmt.Errorf("transaction of another repository: %w", ErrReceipt)
	}
	if r.Lineage, err = ParseLineage(g, raw.GetLineage()); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if r.Index <= r.Lineage.Last().Index || r.Index > math.MaxUint64-linksMax {
		return nil, fmt.Errorf("entry %d is before configuration %d: %w", r.Index, r.Lineage.Last().Generation, ErrReceipt)
	}
	links, err := r.follow(raw)
	if err != nil {
		return nil, err
	}
	return r, r.count(raw.GetSignatures(), links)
}

// follow goes along the links.
func (r *Receipt) follow(raw *wire.Receipt) ([]Link, error) {
	if n := len(raw.GetLinks()); n == 0 || n > linksMax || len(raw.GetBefore()) != sha256.Size {
		return nil, fmt.Errorf("%d links, want 1 to %d: %w", n, linksMax, ErrReceipt)
	}
	chain := [sha256.Size]byte(raw.GetBefore())
	r.chains = append(r.chains, chain)
	var links []Link
	for i, w := range raw.GetLinks() {
		index := r.Index + uint64(i)
		l, ok := parseLink(w)
		if !ok || i > 0 && l.Term < links[i-1].Term {
			return nil, fmt.Errorf("link %d is malformed: %w", index, ErrReceipt)
		}
		chain = l.Extend(index, chain)
		links, r.chains = append(links, l), append(r.chains, chain)
	}
	if links[0].Transaction != sha256.Sum256(raw.GetTransaction().GetBody()) || links[0].Kind != pb.EntryNormal {
		return nil, fmt.Errorf("entry %d is another transaction: %w", r.Index, ErrReceipt)
	}
	r.Term = links[0].Term
	return links, nil
}

func parseLink(w *wire.Link) (l Link, ok bool) {
	none := len(w.GetTransaction()) == 0
	if w.GetTerm() == 0 || w.GetKind() > uint32(pb.EntryConfChangeV2) || len(w.GetEntry()) != sha256.Size || !none && len(w.GetTransaction()) != sha256.Size {
		return l, false
	}
	l = Link{Term: w.GetTerm(), Kind: pb.EntryType(w.GetKind()), Entry: [sha256.Size]byte(w.GetEntry())}
	if !none {
		l.Transaction = [sha256.Size]byte(w.GetTransaction())
	}
	return l, none || l.signed()
}

// count checks the signatures: those of a majority, of nobody else, and of no node twice.
func (r *Receipt) count(signatures []*wire.Signature, links []Link) error {
	c, nodes := r.Lineage.Last(), map[identity.PeerID]bool{}
	end := r.Index
	for _, s := range signatures {
		m, ok := c.Voter(s.GetRaftId())
		if !ok || nodes[m.Peer] {
			return fmt.Errorf("seat %d of configuration %d signed, which is none, or twice: %w", s.GetRaftId(), c.Generation, ErrReceipt)
		}
		i := s.GetIndex() - r.Index
		if s.GetIndex() < r.Index || i >= uint64(len(links)) {
			return fmt.Errorf("no links lead from entry %d to %d: %w", r.Index, s.GetIndex(), ErrReceipt)
		}
		if !c.holds(m, r.Genesis, s.GetIndex(), links[i].Term, r.chains[i+1], s.GetSignature()) {
			return fmt.Errorf("seat %d did not sign entry %d: %w", s.GetRaftId(), s.GetIndex(), ErrReceipt)
		}
		nodes[m.Peer], end = true, max(end, s.GetIndex())
		r.Signers = append(r.Signers, m)
	}
	if len(nodes) <= len(c.Voters)/2 {
		return fmt.Errorf("%d of %d voters signed: %w", len(nodes), len(c.Voters), ErrReceipt)
	}
	if end != r.Index+uint64(len(links))-1 {
		return fmt.Errorf("links beyond entry %d, which nobody signed: %w", end, ErrReceipt)
	}
	return nil
}

// A Contradiction is two logs of one repository, each of them signed by a majority of
// its voters: proof that somebody lied.
type Contradiction struct {
	Index uint64            // of an entry that differs
	Both  []identity.PeerID // signed both
}

// Contradicts compares two receipts: nil where both may be of one log. Comparable is
// false where they say nothing of one index.
func (r *Receipt) Contradicts(other *Receipt) (c *Contradiction, comparable bool) {
	if r.Genesis.Hash != other.Genesis.Hash {
		return nil, false
	}
	from, to := max(r.Index, other.Index)-1, min(r.last(), other.last())
	for i := from; i <= to; i++ {
		comparable = true
		if r.chains[i+1-r.Index] == other.chains[i+1-other.Index] {
			continue
		}
		c = &Contradiction{Index: i}
		for _, m := range r.Signers {
			for _, n := range other.Signers {
				if m.Peer == n.Peer {
					c.Both = append(c.Both, m.Peer)
				}
			}
		}
		return c, true
	}
	return nil, comparable
}

func (r *Receipt) last() uint64 { return r.Index + uint64(len(r.chains)) - 2 }
