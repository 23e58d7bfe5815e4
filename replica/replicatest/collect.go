package replicatest

import (
	"time"

	"peer/replica"
	"peer/wire"
)

// Objects of the simulation reach nothing but themselves: what a table's refs and
// retired tips reach is those tips.

// maintain has somebody raise the floor or prune, and comes back.
func (s *Sim) maintain() {
	m := s.anyone()
	m.post(m.collect)
	m = s.anyone()
	m.post(m.prune)
	s.after(s.between(s.faults.Collect/2, s.faults.Collect*3/2), s.maintain)
}

// collect is a leader's maintenance.
func (m *member) collect() {
	if m.s.calm {
		return
	}
	floor := m.group.Collect(replica.Collecting{NowMillis: m.nowMillis(), GraceMillis: m.s.faults.Grace.Milliseconds()})
	if floor == 0 {
		return
	}
	m.s.note(m.number, "proposes floor", floor)
	if m.group.Propose(&wire.Entry{StampUnixMs: m.nowMillis(), Collect: &wire.Collect{Floor: floor}}) == nil {
		m.s.stats.Collects++
	}
}

// prune removes what may go: all but the refs and retired tips, what entries of
// the log name, and what was fetched for entries that are not in it yet. An entry
// may have been refused, or in part; a member that lags needs its objects all the same.
func (m *member) prune() {
	if m.needing {
		return
	}
	keep := reachable(m.group.Table(), 0)
	for oid := range keep {
		if !m.disk.has(oid) {
			return // one of the two is damaged
		}
	}
	for _, e := range m.disk.entries {
		if o := open(e); o != nil {
			for _, oid := range o.oids {
				keep[oid] = true
			}
		}
	}
	for index, oids := range m.pins {
		if index <= m.disk.published {
			delete(m.pins, index)
		}
		for _, oid := range oids {
			keep[oid] = true
		}
	}
	for oid := range m.disk.objects {
		if !keep[oid] {
			delete(m.disk.objects, oid)
			m.s.stats.Pruned++
		}
	}
}

// reachable is what a transaction signed from the listing at base may rely on.
func reachable(t *replica.Table, base uint64) map[string]bool {
	there := map[string]bool{}
	for _, r := range t.Refs() {
		there[string(r.GetOid())] = true
	}
	for _, r := range t.Retired() {
		if r.GetIndex() > base {
			there[string(r.GetOid())] = true
		}
	}
	return there
}

// holds says whether a transaction's objects are all there for it to rely on.
//
// NB: that they are on this disk is not enough: they may be about to be pruned
// here, and be gone elsewhere.
func (m *member) holds(tx *wire.Transaction) bool {
	there := reachable(m.group.Table(), tx.GetBase())
	for _, oid := range newOIDs(tx) {
		if !there[oid] {
			return false
		}
	}
	return tx.GetBase() <= m.group.Table().Index()
}

// checkTips checks that a member holds what its table says that it does.
func (l *ledger) checkTips(m *member) {
	if m.rot.rotten {
		return
	}
	for oid := range reachable(m.group.Table(), 0) {
		if !m.disk.has(oid) {
			l.s.fail("objects leave in order", "member %d lacks an object of its table at %d", m.number, m.group.Table().Index())
		}
	}
}

// drawCollect says how often a run looks for what may go, and how long that stays.
func (f *Faults) drawCollect(pick func(...float64) float64) {
	f.Collect = time.Duration(pick(100, 400, 1500)) * time.Millisecond
	f.Grace = time.Duration(pick(0, 200, 2000)) * time.Millisecond
}
