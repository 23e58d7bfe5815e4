package replicatest

import (
	"errors"
	"time"

	"peer/replica"
)

// stepped sees to what the group needs, one thing at a time.
func (m *member) stepped(need *replica.Need, err error) {
	if errors.Is(err, replica.ErrUnknownSender) {
		return // and it has been asked who it is
	}
	if err != nil {
		m.s.fail("step", "member %d refuses an honest message: %v", m.number, err)
		return
	}
	if need == nil || m.needing {
		return
	}
	m.needing = true
	m.s.stats.Fetches++
	m.s.note(m.number, "needs", need.Index)
	m.in(m.s.between(time.Millisecond, 60*time.Millisecond), func() {
		met := m.meet(need)
		m.in(m.s.between(0, 2*time.Millisecond), func() { m.met(met) })
	})
}

func (m *member) met(ok bool) {
	m.needing = false
	if !ok {
		m.s.note(m.number, "abandons")
		m.group.Abandon() // raft sends again
		return
	}
	m.stepped(m.group.Resume())
}

// meet brings what the log needs onto this disk, from whoever has it.
func (m *member) meet(need *replica.Need) bool {
	for _, from := range m.sources(need) {
		if need.Table != nil && m.fetchTips(from, need) || need.Table == nil && m.fetchPayload(from, need) {
			return true
		}
	}
	return false
}

func (m *member) sources(need *replica.Need) []*member {
	var list []*member
	for _, other := range m.s.members {
		if other == m || other.group == nil || !m.s.connected(m, other) || !m.s.connected(other, m) {
			continue
		}
		if other.peer == need.From {
			list = append([]*member{other}, list...)
		} else {
			list = append(list, other)
		}
	}
	return list
}

// fetchTips gets all objects of a table by their IDs, those of retired tips as well.
func (m *member) fetchTips(from *member, need *replica.Need) bool {
	var oids []string
	for _, r := range need.Table.GetRefs() {
		oids = append(oids, string(r.GetOid()))
	}
	for _, r := range need.Table.GetRetired() {
		oids = append(oids, string(r.GetOid()))
	}
	m.pins[need.Index] = oids
	return m.fetchObjects(from, oids)
}

func (m *member) fetchObjects(from *member, oids []string) bool {
	if !from.disk.holdsAll(oids) {
		return false
	}
	for _, oid := range oids {
		m.disk.objects[oid] = true
	}
	return true
}

// fetchPayload gets a payload as it is, or its objects where nobody has the
// payload any more.
func (m *member) fetchPayload(from *member, need *replica.Need) bool {
	key := stageKey(need.Signer, need.TransactionID)
	if m.disk.Held(need.Signer, need.TransactionID, need.Payload) {
		return true // it came while we waited
	}
	if s := from.disk.stagedAs(key, need.Payload.GetName()); s != nil {
		m.disk.stage(key, *s)
		return true
	}
	var oids []string
	for _, u := range need.Updates {
		if len(u.New) == oidBytes {
			oids = append(oids, string(u.New))
		}
	}
	m.pins[need.Index] = oids
	if !m.fetchObjects(from, oids) {
		return false
	}
	m.present[key] = need.Payload.GetName()
	return true
}
