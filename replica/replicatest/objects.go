package replicatest

import (
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const oidBytes = 20

// isAncestor stands for history: of any two objects the first is an ancestor of the
// second, or is not, for ever.
func isAncestor(old, new []byte) bool {
	return len(old) == oidBytes && len(new) == oidBytes && (int(old[0])+int(new[1]))%3 > 0
}

// opened is an entry, read.
type opened struct {
	entry *wire.Entry
	tx    *wire.Transaction
	// oids are the objects that its updates name.
	oids []string
}

// open reads an entry; nil for raft's own.
func open(e *pb.Entry) *opened {
	if e.GetType() != pb.EntryNormal {
		return nil
	}
	return openData(e.GetData())
}

func openData(data []byte) *opened {
	if len(data) == 0 {
		return nil
	}
	o := &opened{entry: new(wire.Entry), tx: new(wire.Transaction)}
	if proto.Unmarshal(data, o.entry) != nil || proto.Unmarshal(o.entry.GetTransaction().GetBody(), o.tx) != nil {
		panic("replicatest: an entry that no member of the simulation proposed")
	}
	o.oids = newOIDs(o.tx)
	return o
}

// newOIDs leaves out what is no object ID: apply refuses it.
func newOIDs(tx *wire.Transaction) (oids []string) {
	for _, op := range tx.GetOperations() {
		if oid := op.GetRefUpdate().GetNew(); len(oid) == oidBytes {
			oids = append(oids, string(oid))
		}
	}
	return oids
}

// inline is a payload that rides in its entry: the object IDs themselves.
func inline(oids []string) *wire.Payload {
	p := &wire.Payload{Name: "inline"}
	for _, oid := range oids {
		p.InlinePack = append(p.InlinePack, oid...)
	}
	return p
}

// durable says whether an entry's payload would be there after a crash.
func (d *disk) durable(o *opened) bool {
	p := o.entry.GetPayload()
	return p == nil || len(p.GetInlinePack()) > 0 || d.Held(o.tx.GetSigner(), o.tx.GetId(), p) || d.holdsAll(o.oids)
}

func (d *disk) holdsAll(oids []string) bool {
	for _, oid := range oids {
		if !d.objects[oid] {
			return false
		}
	}
	return true
}

// install publishes what an applied entry brought. It reports whether the
// objects are there.
func (d *disk) install(signer, id []byte, p *wire.Payload, oids []string) bool {
	if raw := p.GetInlinePack(); len(raw) > 0 {
		for ; len(raw) > 0; raw = raw[oidBytes:] {
			d.objects[string(raw[:oidBytes])] = true
		}
	}
	if s := d.stagedAs(stageKey(signer, id), p.GetName()); s != nil {
		for _, oid := range s.oids {
			d.objects[oid] = true
		}
	}
	return d.holdsAll(oids)
}

// publish lets git see what was applied, a while later.
func (m *member) publish(applied []replica.Applied) {
	if len(applied) == 0 {
		return
	}
	m.publishAt = max(m.publishAt, m.s.now) + m.s.between(0, 20*time.Millisecond)
	life := m.life
	m.s.after(m.publishAt-m.s.now, func() {
		if life == m.life {
			m.published(applied)
		}
	})
}

func (m *member) published(applied []replica.Applied) {
	for _, a := range applied {
		if a.Payload == nil {
			continue
		}
		var oids []string
		for _, r := range a.Refs {
			if len(r.New) > 0 {
				oids = append(oids, string(r.New))
			}
		}
		if !m.disk.install(a.Signer[:], a.ID, a.Payload, oids) {
			m.s.fail("payload rule", "member %d applied entry %d and has not its objects", m.number, a.Index)
		}
	}
	for _, a := range applied {
		m.disk.published = max(m.disk.published, a.Index)
		if a.Payload != nil {
			m.disk.drop(stageKey(a.Signer[:], a.ID), a.Payload.GetName())
		}
	}
	m.sweep()
	m.post(func() {}) // the log may be compacted now
}

// sweep drops payloads that no entry names any more. The payload of a refused
// transaction stays as long as its entry: a member that lags must still get it.
func (m *member) sweep() {
	named := map[string]bool{}
	for _, e := range m.disk.entries {
		if o := open(e); o != nil {
			named[stageKey(o.tx.GetSigner(), o.tx.GetId())] = true
		}
	}
	for key := range m.disk.staged {
		if at, applied := m.s.ledger.decided[key]; applied && at <= m.disk.published && !named[key] {
			delete(m.disk.staged, key)
		}
	}
}

// replay publishes again what a crash may have kept from being published.
func (m *member) replay() {
	table := m.group.Table()
	for _, e := range m.disk.entries {
		if e.GetIndex() <= m.disk.published || e.GetIndex() > table.Index() {
			continue
		}
		m.replayEntry(e, table)
	}
	m.disk.published = max(m.disk.published, table.Index())
}

func (m *member) replayEntry(e *pb.Entry, table *replica.Table) {
	o := open(e)
	if o == nil || o.entry.GetPayload() == nil {
		return
	}
	outcome := table.Outcome(identity.PublicKey(o.tx.GetSigner()), o.tx.GetId())
	if outcome.GetIndex() != e.GetIndex() {
		return
	}
	var oids []string
	for i, r := range outcome.GetResults() {
		if oid := o.tx.GetOperations()[i].GetRefUpdate().GetNew(); len(oid) > 0 && r.GetCode() == wire.Code_CODE_OK {
			oids = append(oids, string(oid))
		}
	}
	if len(oids) > 0 && !m.disk.install(o.tx.GetSigner(), o.tx.GetId(), o.entry.GetPayload(), oids) {
		m.s.fail("payload rule", "member %d restarted without the objects of entry %d, which it had applied", m.number, e.GetIndex())
	}
}
