package replicatest

import (
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const (
	commitTimeout = 1500 * time.Millisecond
	readAgain     = 2 * tick
)

// request is a transaction on its way to a leader.
type request struct {
	signed *wire.Signed
	tx     *wire.Transaction
	signer identity.PublicKey
	brings brings
}

// brings is how a transaction's objects get to the leader.
type brings int

const (
	nothing brings = iota // they are there already
	small                 // in the entry
	large                 // staged before the entry
)

// answer ends one attempt; an empty one says nothing.
type answer struct {
	outcome *wire.Outcome
	refused *wire.Result
	// missing: an object is not there that the client took for known. It says
	// nothing about an earlier attempt.
	missing bool
	// behind: the client has seen an index that is not here. It says as little.
	behind bool
	leader identity.PeerID // somebody else leads
}

// takePush is the life of a push at the member that was asked.
func (m *member) takePush(r *request, reply func(answer)) {
	if _, leading := m.group.Leading(); !leading {
		reply(answer{leader: m.group.State().Leader})
		return
	}
	table := m.group.Table()
	if known := table.Outcome(r.signer, r.tx.GetId()); known != nil {
		m.s.stats.Repeats++
		m.s.ledger.answering(m, known)
		reply(answer{outcome: known})
		return
	}
	if refused := table.Courtesy(r.signer, r.tx); refused != nil {
		reply(answer{refused: refused})
		return
	}
	if r.tx.GetBase() > table.Index() {
		reply(answer{behind: true})
		return
	}
	switch r.brings {
	case small:
		m.propose(r, inline(newOIDs(r.tx)), reply)
	case large:
		m.receive(r, reply)
	default:
		if !m.holds(r.tx) {
			reply(answer{missing: true})
			return
		}
		m.propose(r, nil, reply)
	}
}

// receive stages a payload here and, by the way, at followers. The bytes differ
// from leader to leader, as completed thin packs do.
func (m *member) receive(r *request, reply func(answer)) {
	key := stageKey(r.signer[:], r.tx.GetId())
	if list := m.disk.staged[key]; len(list) > 0 {
		m.propose(r, &wire.Payload{Name: list[0].name}, reply)
		return
	}
	arrived := staged{name: fmt.Sprintf("pack of node %d, life %d", m.number, m.life), oids: newOIDs(r.tx)}
	stage := func(at *member, d time.Duration, then func()) {
		at.in(d, func() {
			at.disk.stage(key, arrived)
			then()
		})
	}
	for _, follower := range m.s.members {
		if follower != m && follower.group != nil && m.s.connected(m, follower) && m.s.chance(0.6) {
			stage(follower, m.s.between(time.Millisecond, 80*time.Millisecond), func() {})
		}
	}
	stage(m, m.s.between(time.Millisecond, 60*time.Millisecond), func() {
		switch p := (&wire.Payload{Name: arrived.name}); {
		case m.Held(r.signer[:], r.tx.GetId(), p):
			m.propose(r, p, reply)
		case m.holds(r.tx):
			m.propose(r, nil, reply) // it was published meanwhile
		default:
			reply(answer{}) // and its objects are gone again: the outcome is known by now
		}
	})
}

func (m *member) propose(r *request, p *wire.Payload, reply func(answer)) {
	key := stageKey(r.signer[:], r.tx.GetId())
	entry := &wire.Entry{StampUnixMs: m.nowMillis(), Transaction: r.signed, Payload: p}
	for _, a := range m.group.Table().Forward(r.signer, r.tx) {
		if isAncestor(a.GetOld(), a.GetNew()) {
			entry.Ancestry = append(entry.Ancestry, a)
		}
	}
	err := m.group.Propose(entry)
	if errors.Is(err, replica.ErrNotLeader) {
		reply(answer{leader: m.group.State().Leader})
		return
	}
	if err != nil {
		m.s.fail("propose", "member %d: %v", m.number, err)
		return
	}
	done := false
	m.waiting[key] = append(m.waiting[key], func(o *wire.Outcome) {
		done = true
		reply(answer{outcome: o})
	})
	m.in(commitTimeout, func() {
		if !done {
			delete(m.waiting, key) // all who wait sent the same
			reply(answer{})
		}
	})
}

// read is a listing on its way.
type read struct {
	reply func(Listing)
	index uint64
	done  bool
}

// takeRead confirms an index with the leader, waits until it is applied, and lists.
func (m *member) takeRead(r *read) {
	if r.done {
		return
	}
	// NB: a context is never used twice, not even by another life: an answer to
	// the earlier one may still be on its way.
	m.readSeq++
	seq := m.life<<32 | m.readSeq
	m.reads[seq] = r
	m.group.ReadIndex(readContext(seq))
	m.in(readAgain, func() {
		if _, waits := m.reads[seq]; waits {
			delete(m.reads, seq)
			m.wakeAll()
			m.takeRead(r)
		}
	})
}

func (m *member) answerReads(confirmed []replica.Read) {
	for _, c := range confirmed {
		var seq uint64
		for _, b := range c.Context {
			seq = seq<<8 | uint64(b)
		}
		if r, ok := m.reads[seq]; ok {
			delete(m.reads, seq)
			r.index = c.Index
			m.confirmed = append(m.confirmed, r)
		}
	}
	rest := m.confirmed[:0]
	for _, r := range m.confirmed {
		switch {
		case r.index <= m.group.Table().Index():
			r.done = true
			r.reply(List(m.group.Table()))
		default:
			rest = append(rest, r)
		}
	}
	m.confirmed = rest
}
