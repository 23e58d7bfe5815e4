package replicatest

import (
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/replica"
	"peer/wire"
)

// rot is a table that a disk changed, so that it still looks whole: a ref
// points elsewhere, and the hash of the refs agrees with it.
type rot struct {
	rotten bool
	// inquiring: it asks the others which of two tables is damaged. left: it was
	// its own, so it takes no part any more.
	inquiring, left bool
}

// inquiryPause is between two questions to members of which too few answered.
const (
	inquiryPause = 200 * time.Millisecond
	hintTicks    = 50
)

// rotSome lets the tables of a minority rot, each while its member is down.
// It waits for a ref that can, and gives up when nothing is to break any more.
func (s *Sim) rotSome() {
	if s.calm {
		return
	}
	for _, i := range s.rng.Perm(len(s.members))[:s.faults.Rot] {
		m := s.members[i]
		m.crash("crash before rot")
		if !m.disk.rot(s.genesis) {
			m.restart(0)
			s.after(s.faults.Every, s.rotSome) // there is no ref yet
			return
		}
		m.rot = rot{rotten: true}
		s.stats.Rotten++
		s.note(i, "rots")
		m.restart(s.between(10*time.Millisecond, time.Second))
	}
}

// rot moves a ref to where it never was; false where there is none.
func (d *disk) rot(g *replica.Genesis) bool {
	var refs []*wire.Ref
	for _, key := range slices.Sorted(maps.Keys(d.table)) {
		if !strings.HasPrefix(key, "r/") {
			continue
		}
		ref := new(wire.Ref)
		if proto.Unmarshal(d.table[key], ref) != nil {
			return false
		}
		if len(refs) == 0 {
			ref.Oid = slices.Clone(ref.GetOid())
			ref.Oid[0] ^= 1
			d.table[key] = encode(ref)
		}
		refs = append(refs, ref)
	}
	meta := new(wire.TableMeta)
	if len(refs) == 0 || proto.Unmarshal(d.table["m"], meta) != nil {
		return false
	}
	meta.RefsHash = replica.HashRefs(refs, meta.GetHead())
	d.table["m"] = encode(meta)
	return true
}

// noticed checks that no entry passes a rotten table, or comes from one, unnoticed.
func (m *member) noticed(t *replica.Turn) {
	for _, a := range t.Applied {
		if a.State == nil || m.group.StateAt(a.State.GetIndex()) == nil {
			continue // raft's own, or of before this start
		}
		if same := replica.SameState(a.State, m.group.StateAt(a.State.GetIndex())); !same && t.Differs == nil {
			m.s.fail("damage is noticed", "member %d passes over entry %d, of a leader with another table", m.number, a.Index)
		}
	}
	if t.Differs == nil {
		return
	}
	if m.s.stats.Rotten == 0 {
		m.s.fail("one table", "member %d has another table at %d than the leader of entry %d, and none is damaged", m.number, t.Differs.Here.GetIndex(), t.Differs.Entry)
	}
	m.s.note(m.number, "differs", t.Differs.Entry)
	m.inquire()
}

// hint has the others compare their tables with a leader's now and then, since
// the last entry of a quiet group is followed by none.
func (m *member) hint() {
	if _, leading := m.group.Leading(); !leading || m.s.stats.Rotten == 0 || m.ticks%hintTicks != 0 {
		return
	}
	state := m.group.Table().State()
	for _, other := range m.s.members {
		if other == m || other.group == nil || !m.s.connected(m, other) {
			continue
		}
		if here := other.group.StateAt(state.GetIndex()); here != nil && !replica.SameState(here, state) {
			other.post(other.inquire)
		}
	}
}

// inquire asks the other members, until it is clear whose table is damaged.
func (m *member) inquire() {
	if m.rot.inquiring {
		return
	}
	m.rot.inquiring = true
	m.in(m.s.between(time.Millisecond, 10*time.Millisecond), m.poll)
}

func (m *member) poll() {
	same, other := 0, 0
	mine := m.group.Table().State()
	for _, asked := range m.s.members {
		if asked == m || asked.group == nil || !m.s.connected(m, asked) || !m.s.connected(asked, m) {
			continue
		}
		here, there := mine, asked.group.StateAt(mine.GetIndex())
		if there == nil {
			there = asked.group.Table().State()
			here = m.group.StateAt(there.GetIndex())
		}
		switch {
		case here == nil:
		case replica.SameState(here, there):
			same++
		default:
			other++
			asked.inquire()
		}
	}
	m.s.note(m.number, "judges", uint64(same), uint64(other))
	switch replica.Judge(len(m.s.members), same, other) {
	case replica.Wrong:
		if !m.rot.rotten {
			m.s.fail("who is damaged", "member %d leaves, and its table is whole", m.number)
		}
		m.s.stats.Left++
		m.crash("leaves")
		m.rot.left = true
	case replica.Right:
		if m.rot.rotten {
			m.s.fail("who is damaged", "member %d stays, and its table is damaged", m.number)
		}
		m.rot.inquiring = false
	default:
		m.in(inquiryPause, m.poll)
	}
}
