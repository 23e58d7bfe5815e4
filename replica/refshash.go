package replica

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"

	"peer/wire"
)

// ErrDamaged says that a table's refs are not those that its entries made: a disk
// changed them, a hand in the database, or a bug.
var ErrDamaged = errors.New("the refs of the table are not those that its entries made")

// refsHash is a running hash of a set: of all refs, each with its object ID, and
// of HEAD. It is LtHash (Lewi, Kim, Maykov and Weis: Securing Update Propagation
// with Homomorphic Hashing, 2019; after Bellare and Micciancio: A New Paradigm
// for Collision-Free Hashing, 1997): each element is expanded to lanes, which
// are added to those of the set, or subtracted. So an entry costs what it
// changes, however many refs there are.
//
// NB: shorter sums are no hash. Who may choose names and object IDs finds refs
// that cancel out under XOR by linear algebra (Bellare and Micciancio, appendix
// A), and under a sum modulo 2^256 as a generalized birthday (Wagner, 2002). 1,024
// lanes of 16 bits resist both with more than 200 bits.
type refsHash [refsLanes]uint16

const (
	refsLanes     = 1024
	refsHashBytes = 2 * refsLanes
	refsHashName  = "peer refs 1"
)

// Kinds of elements.
const (
	elementRef  = 'r'
	elementHead = 'h'
)

// expand is one element's lanes. The length of the name keeps two elements from
// being spelled alike.
func expand(kind byte, name string, oid []byte) *refsHash {
	xof := sha3.NewSHAKE128()
	element := binary.AppendUvarint(append([]byte(refsHashName), 0, kind), uint64(len(name)))
	element = append(append(element, name...), oid...)
	_, _ = xof.Write(element) // a hash's never fails
	var raw [refsHashBytes]byte
	_, _ = xof.Read(raw[:])
	return parseLanes(raw[:])
}

func parseLanes(raw []byte) *refsHash {
	h := new(refsHash)
	for i := range h {
		h[i] = binary.BigEndian.Uint16(raw[2*i:])
	}
	return h
}

func (h *refsHash) add(element *refsHash) {
	for i, lane := range element {
		h[i] += lane
	}
}

func (h *refsHash) remove(element *refsHash) {
	for i, lane := range element {
		h[i] -= lane
	}
}

// move replaces one element by another; an empty object ID stands for none.
func (h *refsHash) move(kind byte, from, to string, old, now []byte) {
	if kind == elementHead || len(old) > 0 {
		h.remove(expand(kind, from, old))
	}
	if kind == elementHead || len(now) > 0 {
		h.add(expand(kind, to, now))
	}
}

func (h *refsHash) bytes() []byte {
	raw := make([]byte, 0, refsHashBytes)
	for _, lane := range h {
		raw = binary.BigEndian.AppendUint16(raw, lane)
	}
	return raw
}

// HashRefs is the hash of a whole set of refs, as TableMeta carries it.
func HashRefs(refs []*wire.Ref, head string) []byte {
	h := expand(elementHead, head, nil)
	for _, r := range refs {
		h.add(expand(elementRef, r.GetName(), r.GetOid()))
	}
	return h.bytes()
}

// CheckRefs compares the refs with their running hash. It looks at every ref.
func (t *Table) CheckRefs() error {
	if now := HashRefs(t.Refs(), t.Head()); !bytes.Equal(now, t.meta.GetRefsHash()) {
		return fmt.Errorf("table at %d: %w", t.Index(), ErrDamaged)
	}
	return nil
}

// checkRefs is for tables that come from a disk or another member.
func (t *Table) checkRefs() error {
	if len(t.meta.GetRefsHash()) == 0 { // written before there was one
		t.meta.RefsHash = HashRefs(t.Refs(), t.Head())
		return nil
	}
	return t.CheckRefs()
}

// rehash takes in what a transaction moved.
func (t *Table) rehash(moved []RefChange, oldHead string) {
	if len(moved) == 0 && oldHead == t.Head() {
		return
	}
	h := parseLanes(t.meta.GetRefsHash())
	for _, r := range moved {
		h.move(elementRef, r.Name, r.Name, r.Old, r.New)
	}
	if oldHead != t.Head() {
		h.move(elementHead, oldHead, t.Head(), nil, nil)
	}
	t.meta.RefsHash = h.bytes() // a slice of its own: snapshots share the old one
}

// State names what the table is now.
func (t *Table) State() *wire.StateHash { return StateOf(t.meta) }

// StateOf names the state of a table that this is of.
func StateOf(meta *wire.TableMeta) *wire.StateHash {
	sum := sha256.Sum256(meta.GetRefsHash())
	return &wire.StateHash{Index: meta.GetIndex(), Chain: meta.GetChain(), Refs: sum[:]}
}
