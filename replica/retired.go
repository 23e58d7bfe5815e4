package replica

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// retiredTip is an object that a ref named until an entry moved or deleted it.
type retiredTip struct {
	*wire.Retired
	position uint32 // among those of the same entry
}

func (r retiredTip) key() string {
	return keyRetired + string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, r.GetIndex()), r.position))
}

// Retired lists the tips that refs left since the floor, in the order in which
// they did. The caller must not change them.
func (t *Table) Retired() []*wire.Retired {
	list := make([]*wire.Retired, len(t.retired))
	for i, r := range t.retired {
		list[i] = r.Retired
	}
	return list
}

// Floor is the index below which nobody may rely on what refs named: see
// [wire.Collect]. Zero until something was collected.
func (t *Table) Floor() uint64 { return t.meta.GetFloor() }

// retire keeps the old objects of the refs that an entry moved.
func (t *Table) retire(done *Applied) {
	position := uint32(0)
	for _, r := range done.Refs {
		if len(r.Old) == 0 {
			continue
		}
		tip := retiredTip{&wire.Retired{Oid: r.Old, Index: done.Index, StampUnixMs: t.Stamp()}, position}
		t.retired = append(t.retired, tip)
		t.mark(tip.key(), encode(tip.Retired))
		position++
	}
}

// collect raises the floor and drops what was retired up to it. It never goes
// back, and stays below the entry itself: a floor from the future would refuse
// transactions that nobody could have signed any later. It drops no more than fits
// one write. What breaks any of these rules is a mistake of the leader that proposed
// it, and changes nothing.
func (t *Table) collect(c *wire.Collect, done *Applied) {
	floor := c.GetFloor()
	if floor <= t.Floor() || floor >= done.Index {
		return
	}
	keep := 0
	for keep < len(t.retired) && t.retired[keep].GetIndex() <= floor {
		keep++
	}
	if keep > collectMax+OperationsMax {
		return
	}
	t.meta.Floor, done.Floor = floor, floor
	for _, r := range t.retired[:keep] {
		t.mark(r.key(), nil)
	}
	t.retired = slices.Clone(t.retired[keep:])
}

func (t *Table) loadRetired(key string, value []byte) error {
	tip := retiredTip{Retired: new(wire.Retired)}
	if err := proto.Unmarshal(value, tip.Retired); err != nil {
		return err
	}
	if len(key) != len(keyRetired)+12 {
		return fmt.Errorf("table key %q of a retired tip", key)
	}
	tip.position = binary.BigEndian.Uint32([]byte(key[len(key)-4:]))
	t.retired = append(t.retired, tip)
	return nil
}

// sortRetired brings what was loaded into the order in which it was retired.
func (t *Table) sortRetired() {
	slices.SortFunc(t.retired, func(a, b retiredTip) int {
		return cmp.Or(cmp.Compare(a.GetIndex(), b.GetIndex()), cmp.Compare(a.position, b.position))
	})
}

// takeRetired takes the retired tips of a snapshot.
func (t *Table) takeRetired(list []*wire.Retired) error {
	before, position := t.Floor(), uint32(0)
	if before >= t.Index() {
		return errors.New("a floor that is not behind the table")
	}
	for i, r := range list {
		position++
		if i == 0 || r.GetIndex() != before {
			position = 0
		}
		if r.GetIndex() < before || r.GetIndex() <= t.Floor() || r.GetIndex() > t.Index() {
			return fmt.Errorf("a tip retired at %d after one at %d", r.GetIndex(), before)
		}
		if len(r.GetOid()) != t.genesis.OIDBytes() {
			return fmt.Errorf("retired object ID of %d bytes", len(r.GetOid()))
		}
		before = r.GetIndex()
		t.retired = append(t.retired, retiredTip{r, position})
	}
	return nil
}
