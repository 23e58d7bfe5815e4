package replica

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// The table keeps each signed transaction for as long as a ref is where that put it, and
// all that changed the policy, so that a reader can check every ref back to the owner's
// key. Refs that were set before this was so have none: a majority's word must do.

const (
	// keptOneMax bounds one transaction that is kept, so that what an entry adds to the
	// table still fits one write; a larger one would take more refs than a push may name.
	keptOneMax = 5 << 18
	// keptBytesMax bounds all of them. Where there are more, those go first that have the
	// most bytes for a ref that they prove: a transaction of many refs may be there for
	// one that is left.
	keptBytesMax = 64 << 20
	// keptDropMax bounds how many of them one entry lets go for that.
	keptDropMax = 16_384
	// keptAroundMax bounds what is around the body of one: its signer and signature.
	keptAroundMax = 128
	// Bounds of the changes of the policy. Where there are more, none are kept.
	changesMax        = 1024
	changesBytesMax   = 1 << 20
	changeOneBytesMax = 256 << 10

	keyKept         = "x/"
	keyPolicyChange = "y/"
)

// kept is the part of a table that proves the rest.
type kept struct {
	refs    map[uint64]int // how many refs an entry set that nothing moved since
	by      map[uint64]*wire.Signed
	bytes   int
	changes []*wire.Kept // of the policy, oldest first
	// changesBytes is their size.
	changesBytes int
}

func newKept() kept { return kept{refs: map[uint64]int{}, by: map[uint64]*wire.Signed{}} }

// Kept are the transactions of those entries which the table has. The caller must not
// change them.
func (t *Table) Kept(indexes []uint64) []*wire.Kept {
	var list []*wire.Kept
	for _, i := range indexes {
		if s := t.kept.by[i]; s != nil {
			list = append(list, &wire.Kept{Index: i, Transaction: s})
		}
	}
	return list
}

// Stand says whether each of those entries still has a ref where it put it: if not, a
// listing that names them is no longer that of the table, which let their transactions go.
func (t *Table) Stand(indexes []uint64) bool {
	return !slices.ContainsFunc(indexes, func(i uint64) bool { return t.kept.refs[i] == 0 })
}

func keptKey(prefix string, index uint64) string {
	return prefix + string(binary.BigEndian.AppendUint64(nil, index))
}

// keep takes in a transaction that was carried out, and lets those go which no ref is
// left of. moved are the entries that had set the refs which it touched.
func (t *Table) keep(o *operation, moved []uint64) {
	signed := bare(o.signed)
	for _, index := range moved {
		if t.kept.refs[index] == 0 {
			t.letGo(index)
		}
	}
	if t.kept.refs[o.index] > 0 && proto.Size(signed) <= keptOneMax {
		t.putKept(o.index, signed)
		t.mark(keptKey(keyKept, o.index), encode(signed))
		t.boundKept(o.index)
	}
	if t.policy != o.before {
		t.keepChange(o, &wire.Kept{Index: o.index, Transaction: signed})
	}
}

func (t *Table) putKept(index uint64, s *wire.Signed) {
	t.kept.by[index] = s
	t.kept.bytes += len(s.GetBody())
}

func (t *Table) letGo(index uint64) {
	if s := t.kept.by[index]; s != nil {
		t.kept.bytes -= len(s.GetBody())
		delete(t.kept.by, index)
		t.mark(keptKey(keyKept, index), nil)
	}
}

// boundKept makes room for an entry's, and for some more at once, since it looks at all
// of them. Where that would take too many of the others, it is the new one that goes.
func (t *Table) boundKept(newest uint64) {
	if t.kept.bytes <= keptBytesMax {
		return
	}
	type candidate struct {
		index uint64
		each  int // bytes for a ref
	}
	worst := make([]candidate, 0, len(t.kept.by))
	for index, s := range t.kept.by {
		worst = append(worst, candidate{index, len(s.GetBody()) / max(t.kept.refs[index], 1)})
	}
	slices.SortFunc(worst, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.each, a.each), cmp.Compare(a.index, b.index))
	})
	for _, c := range worst[:min(keptDropMax-1, len(worst))] {
		if t.kept.bytes <= keptBytesMax/64*63 {
			return
		}
		t.letGo(c.index)
	}
	if t.kept.bytes > keptBytesMax {
		t.letGo(newest)
	}
}

// keepChange keeps a change of the policy: all since the genesis, or none. The changes
// before any other were not kept by an older program. Readers carry out all that is in a
// transaction, and here an entry of an older version may have kept some from that.
func (t *Table) keepChange(o *operation, c *wire.Kept) {
	last := uint64(firstIndex)
	if n := len(t.kept.changes); n > 0 {
		last = t.kept.changes[n-1].GetIndex()
	}
	tx := new(wire.Transaction)
	whole := o.before.wire.GetVersion() == last && proto.Unmarshal(c.GetTransaction().GetBody(), tx) == nil && VersionOf(tx) <= o.version
	size := proto.Size(c)
	if !whole || size > changeOneBytesMax || len(t.kept.changes) >= changesMax || t.kept.changesBytes+size > changesBytesMax {
		for _, old := range t.kept.changes {
			t.mark(keptKey(keyPolicyChange, old.GetIndex()), nil)
		}
		t.kept.changes, t.kept.changesBytes = nil, 0
		return
	}
	t.kept.changes, t.kept.changesBytes = append(slices.Clip(t.kept.changes), c), t.kept.changesBytes+size
	t.mark(keptKey(keyPolicyChange, c.GetIndex()), encode(c.GetTransaction()))
}

// changesPolicy says whether an operation is one that may change the policy.
func changesPolicy(op *wire.Operation) bool {
	return op.GetChangePolicy() != nil || op.GetReplaceKey() != nil
}

// loadKept reads one of them back, and says whether the key was of this part.
func (t *Table) loadKept(key string, value []byte) (ours bool, err error) {
	kept, change := strings.HasPrefix(key, keyKept), strings.HasPrefix(key, keyPolicyChange)
	if !kept && !change {
		return false, nil
	}
	if len(key) != len(keyKept)+8 {
		return true, fmt.Errorf("table key %q of a transaction that is kept", key)
	}
	s, index := new(wire.Signed), binary.BigEndian.Uint64([]byte(key[len(keyKept):]))
	if err := proto.Unmarshal(value, s); err != nil {
		return true, err
	}
	if kept {
		t.putKept(index, s)
		return true, nil
	}
	c := &wire.Kept{Index: index, Transaction: s}
	t.kept.changes, t.kept.changesBytes = append(t.kept.changes, c), t.kept.changesBytes+proto.Size(c)
	return true, nil
}

// sortKept ends loading, in the order of the keys or in any other.
func (t *Table) sortKept() {
	slices.SortFunc(t.kept.changes, func(a, b *wire.Kept) int { return cmp.Compare(a.GetIndex(), b.GetIndex()) })
}

func (t *Table) saveKept() {
	for index, s := range t.kept.by {
		t.mark(keptKey(keyKept, index), encode(s))
	}
	for _, c := range t.kept.changes {
		t.mark(keptKey(keyPolicyChange, c.GetIndex()), encode(c.GetTransaction()))
	}
}

// snapshotKept puts them into a snapshot.
func (t *Table) snapshotKept(s *wire.TableSnapshot) {
	s.Kept, s.PolicyChanges = t.Kept(slices.Sorted(maps.Keys(t.kept.by))), t.kept.changes
}

// takeKept takes them from a snapshot. What does not belong there is refused; whether a
// transaction proves its refs, and the changes the policy, is for readers to check.
func (t *Table) takeKept(s *wire.TableSnapshot) error {
	last := uint64(0)
	for _, k := range s.GetKept() {
		if t.kept.refs[k.GetIndex()] == 0 || k.GetIndex() <= last {
			return fmt.Errorf("a transaction of entry %d is kept, which set no ref", k.GetIndex())
		}
		last = k.GetIndex()
		size := proto.Size(k.GetTransaction())
		if size > keptOneMax || size > len(k.GetTransaction().GetBody())+keptAroundMax {
			return fmt.Errorf("a transaction of %d bytes is kept for entry %d", size, last)
		}
		t.putKept(last, k.GetTransaction())
		if t.kept.bytes > keptBytesMax {
			return fmt.Errorf("transactions of more than %d bytes are kept", keptBytesMax)
		}
	}
	last = firstIndex
	for _, c := range s.GetPolicyChanges() {
		t.kept.changesBytes += proto.Size(c)
		if c.GetIndex() <= last || c.GetIndex() > t.policy.wire.GetVersion() {
			return fmt.Errorf("entry %d did not change the policy", c.GetIndex())
		}
		last = c.GetIndex()
	}
	if len(s.GetPolicyChanges()) > changesMax || t.kept.changesBytes > changesBytesMax {
		return errors.New("too many changes of the policy")
	}
	t.kept.changes = s.GetPolicyChanges()
	return nil
}
