package replica

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// A root names a set of refs, each with its object ID and the entry that set it, and
// HEAD. It is for those who are shown a whole listing and want to know whether it is
// the one that others vouch for: elements are hashed, sorted into 256 buckets by their
// first byte, each bucket is hashed, and so are all of these. So a reader needs two
// hashes per ref, where the running hash of refshash.go takes a hundred times as long,
// and a replica hashes anew only the buckets in which something changed.
type root struct {
	buckets map[byte]*rootBucket // those that hold something
}

type rootBucket struct {
	elements [][sha256.Size]byte
	unsorted bool
	sum      [sha256.Size]byte
	stale    bool // sum is of other elements
}

const rootName = "peer listing 1"

// RefElement is what a root hashes of one ref.
func RefElement(name string, oid []byte, index uint64) [sha256.Size]byte {
	return rootElement(elementRef, name, oid, index)
}

func rootElement(kind byte, name string, oid []byte, index uint64) [sha256.Size]byte {
	b := make([]byte, 0, 192)
	b = append(append(b, rootName...), 0, kind)
	b = binary.BigEndian.AppendUint64(b, index)
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(append(b, name...), oid...)
	return sha256.Sum256(b)
}

func (r *root) add(e [sha256.Size]byte) {
	if r.buckets == nil {
		r.buckets = map[byte]*rootBucket{}
	}
	b := r.buckets[e[0]]
	if b == nil {
		b = &rootBucket{}
		r.buckets[e[0]] = b
	}
	b.elements, b.unsorted, b.stale = append(b.elements, e), true, true
}

func (r *root) remove(e [sha256.Size]byte) {
	b := r.buckets[e[0]]
	if b == nil {
		return
	}
	b.sort()
	at, ok := slices.BinarySearchFunc(b.elements, e, compareElements)
	if !ok {
		return
	}
	if b.elements, b.stale = slices.Delete(b.elements, at, at+1), true; len(b.elements) == 0 {
		delete(r.buckets, e[0])
	}
}

func compareElements(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) }

func (b *rootBucket) sort() {
	if b.unsorted {
		slices.SortFunc(b.elements, compareElements)
		b.unsorted = false
	}
}

// of is the root of the elements with a HEAD.
func (r *root) of(head string) [sha256.Size]byte {
	first := rootElement(elementHead, head, nil, 0)
	all := append([]byte(nil), first[:]...)
	for i := range 256 {
		b := r.buckets[byte(i)]
		if b == nil {
			continue
		}
		if b.stale {
			b.sort()
			h := sha256.New()
			for i := range b.elements {
				_, _ = h.Write(b.elements[i][:])
			}
			h.Sum(b.sum[:0])
			b.stale = false
		}
		all = append(append(all, byte(i)), b.sum[:]...)
	}
	return sha256.Sum256(all)
}

// Root is the root of a listing: its elements, in any order, and HEAD.
func Root(elements [][sha256.Size]byte, head string) [sha256.Size]byte {
	r := new(root)
	for _, e := range elements {
		r.add(e)
	}
	return r.of(head)
}

// Root is that of the table's refs and HEAD.
func (t *Table) Root() [sha256.Size]byte { return t.root.of(t.Head()) }
