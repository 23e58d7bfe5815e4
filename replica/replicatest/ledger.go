package replicatest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// ledger knows all that happened anywhere, and holds it against the promises.
type ledger struct {
	s       *Sim
	leaders map[uint64]int   // by term
	votes   map[voter]uint64 // for whom
	confs   confs
	stamp   int64       // the highest so far
	log     []committed // log[i] is entry i+2: the first one is the founding
	twin    *Twin
	decided map[string]uint64        // by stageKey: at which index
	acked   map[string]*wire.Outcome // by stageKey: what a client was told
	refused map[string]bool          // by stageKey: what a client was refused before it was proposed
	floor   uint64                   // the highest index that a client was told of

	receipts receipts
	revoked  map[identity.PublicKey]uint64 // by which entry
}

// voter is a seat: a node that has another one votes anew.
type voter struct{ seat, term uint64 }

// committed is what the first member to apply an entry made of it.
type committed struct {
	term    uint64
	chain   []byte
	outcome *wire.Outcome
	repeat  bool
	effect  []byte
}

func newLedger(s *Sim) ledger {
	return ledger{
		s: s, leaders: map[uint64]int{}, votes: map[voter]uint64{}, confs: newConfs(s.genesis), twin: NewTwin(s.genesis, s.rules.CheckRefName),
		decided: map[string]uint64{}, acked: map[string]*wire.Outcome{}, refused: map[string]bool{},
		receipts: newReceipts(), revoked: map[identity.PublicKey]uint64{},
	}
}

func (l *ledger) entry(index uint64) *committed {
	if index < 2 || index-2 >= uint64(len(l.log)) {
		return nil
	}
	return &l.log[index-2]
}

// leads notes who leads.
func (l *ledger) leads(m *member) {
	term, leading := m.group.Leading()
	if !leading {
		return
	}
	if who, known := l.leaders[term]; known && who != m.number {
		l.s.fail("one leader in a term", "members %d and %d both lead in term %d", who, m.number, term)
	} else if !known {
		l.s.stats.Leaders++
		l.leaders[term] = m.number
		l.s.note(m.number, "leads", term)
	}
}

// sent checks what a message promises.
func (l *ledger) sent(from *member, m *pb.Message) {
	if l.confs.gone[m.GetFrom()] != nil {
		l.s.fail("lost seats are silent", "member %d sends %s from seat %d, whose disk is gone", from.number, m.GetType(), m.GetFrom())
	}
	l.attested(from, m)
	switch {
	case m.GetReject():
	case m.GetType() == pb.MsgVoteResp:
		v := voter{from.seat.RaftID, m.GetTerm()}
		if before, voted := l.votes[v]; voted && before != m.GetTo() {
			l.s.fail("one vote in a term", "member %d votes for %d and %d in term %d", from.number, before, m.GetTo(), m.GetTerm())
		}
		l.votes[v] = m.GetTo()
		if from.disk.hard.GetTerm() < m.GetTerm() {
			l.s.fail("durable vote", "member %d votes in term %d, its disk knows %d", from.number, m.GetTerm(), from.disk.hard.GetTerm())
		}
	case m.GetType() == pb.MsgVote:
		v := voter{from.seat.RaftID, m.GetTerm()}
		if before, voted := l.votes[v]; voted && before != from.seat.RaftID {
			l.s.fail("one vote in a term", "member %d campaigns in term %d, where it voted for %d", from.number, m.GetTerm(), before)
		}
		l.votes[v] = from.seat.RaftID
	case m.GetType() == pb.MsgAppResp && m.GetIndex() > from.disk.last():
		l.s.fail("durable acknowledgement", "member %d acknowledges entry %d, its disk ends at %d", from.number, m.GetIndex(), from.disk.last())
	}
}

// saving checks a save before it is made: the payload rule.
func (l *ledger) saving(m *member, save *replica.Save) {
	for _, e := range save.Entries {
		o := open(e)
		if o == nil {
			continue
		}
		if !m.disk.durable(o) {
			l.s.fail("payload rule", "member %d saves entry %d without payload %q", m.number, e.GetIndex(), o.entry.GetPayload().GetName())
		}
	}
}

// saved checks what a turn applied.
func (l *ledger) saved(m *member, t *replica.Turn) {
	if t.Installed != nil {
		for _, r := range t.Installed.GetRefs() {
			if !m.disk.objects[string(r.GetOid())] {
				l.s.fail("payload rule", "member %d installs the table of %d without the object of %s", m.number, t.Installed.GetMeta().GetIndex(), r.GetName())
			}
		}
		for _, r := range t.Installed.GetRetired() {
			if !m.disk.objects[string(r.GetOid())] {
				l.s.fail("payload rule", "member %d installs the table of %d without a tip retired at %d", m.number, t.Installed.GetMeta().GetIndex(), r.GetIndex())
			}
		}
	}
	for i := range t.Applied {
		l.applied(m, &t.Applied[i])
		l.proves(m, &t.Applied[i])
	}
	l.checkMembers(m, t)
	l.checkChain(m)
	l.checkPayloads(m)
	l.checkTips(m)
}

// savedInPart notes what a turn applied that reached the disk before a crash.
func (l *ledger) savedInPart(m *member, t *replica.Turn) {
	stored, err := replica.LoadTable(m.disk.scan, l.s.rules)
	if err != nil {
		l.s.fail("save", "member %d keeps of a turn in part: %v", m.number, err)
		return
	}
	for i := range t.Applied {
		if t.Applied[i].Index <= stored.Index() {
			l.applied(m, &t.Applied[i])
		}
	}
}

// checkPayloads holds the payload rule against a member's whole log: what it
// might still commit, or publish, it must have.
func (l *ledger) checkPayloads(m *member) {
	for _, e := range m.disk.entries {
		if e.GetIndex() <= m.disk.published {
			continue
		}
		if o := open(e); o != nil && !m.disk.durable(o) {
			l.s.fail("payload rule", "member %d has entry %d in its log and lost payload %q", m.number, e.GetIndex(), o.entry.GetPayload().GetName())
		}
	}
}

// checkChain holds a member's history against everybody's.
func (l *ledger) checkChain(m *member) {
	if m.rot.rotten {
		return // it may be the first to apply an entry
	}
	t := m.group.Table()
	want := l.s.genesis.Hash[:]
	if t.Index() > 1 {
		e := l.entry(t.Index())
		if e == nil {
			l.s.fail("same log", "member %d is at entry %d, which nobody applied", m.number, t.Index())
			return
		}
		want = e.chain
	}
	if !bytes.Equal(t.Chain(), want) {
		l.s.fail("same log", "member %d has another history up to entry %d", m.number, t.Index())
	}
}

func (l *ledger) applied(m *member, a *replica.Applied) {
	if m.rot.rotten {
		return // what it makes of an entry is wrong, and must go nowhere
	}
	e := m.disk.entries[a.Index-m.disk.index-1]
	l.checkObjects(m, a)
	if known := l.entry(a.Index); known != nil {
		if known.term != a.Term || !bytes.Equal(known.effect, effect(a)) {
			l.s.fail("same result", "member %d makes something else of entry %d", m.number, a.Index)
		}
		return
	}
	if e.GetType() == pb.EntryConfChangeV2 {
		l.confs.change(l.s, e)
		l.s.note(m.number, "members", e.GetIndex(), uint64(len(l.confs.last().Members)))
	}
	l.first(m, a, e)
}

// checkObjects checks that refs move to what is durable here.
func (l *ledger) checkObjects(m *member, a *replica.Applied) {
	for _, r := range a.Refs {
		if len(r.New) > 0 && !m.disk.has(string(r.New)) {
			l.s.fail("payload rule", "entry %d moves %s to an object that member %d has not", a.Index, r.Name, m.number)
		}
	}
}

// first takes down an entry that nobody has applied before.
func (l *ledger) first(m *member, a *replica.Applied, e *pb.Entry) {
	var verdict Verdict
	policy := l.twin.Policy
	if e.GetType() == pb.EntryNormal {
		verdict = l.twin.Apply(a.Index, a.Term, e.GetData())
	} else {
		verdict = l.twin.Pass(a.Index, a.Term, byte(e.GetType()), e.GetData())
	}
	if a.StampMillis < l.stamp {
		l.s.fail("time", "the stamp goes back from %d to %d with entry %d", l.stamp, a.StampMillis, a.Index)
	}
	l.stamp = a.StampMillis
	if diff := verdict.Differs(a); diff != "" {
		l.s.fail("twin", "entry %d: %s", a.Index, diff)
	}
	l.log = append(l.log, committed{
		term: a.Term, chain: l.twin.Chain, outcome: a.Outcome, repeat: a.Repeat, effect: effect(a),
	})
	if term, proven := l.receipts.proven[a.Index]; proven && term != a.Term {
		l.s.fail("receipts", "entry %d is applied in term %d, and proved in %d", a.Index, a.Term, term)
	}
	l.whole(a, e.GetData())
	l.allowed(a, policy)
	l.revokes(a, e.GetData())
	if a.Outcome == nil {
		return
	}
	key := stageKey(a.Signer[:], a.ID)
	at, before := l.decided[key]
	switch {
	case before && !a.Repeat:
		l.s.fail("exactly once", "the transaction of entry %d took effect at %d before", a.Index, at)
	case !before && l.refused[key] && a.Outcome.GetResult().GetCode() == wire.Code_CODE_OK:
		l.s.fail("refused", "the transaction of entry %d was refused before it was proposed", a.Index)
	case !before:
		l.decided[key] = a.Index
	}
}

// allowed checks that no ref moved under a key that the policy did not allow, as of
// the index before.
func (l *ledger) allowed(a *replica.Applied, before Policy) {
	role := before.Roles[string(a.Signer[:])]
	for _, r := range a.Refs {
		deleted := len(r.New) == 0
		moves := len(r.Old) > 0 && !deleted
		var forward []*wire.Ancestry
		if moves && isAncestor(r.Old, r.New) {
			forward = []*wire.Ancestry{{Old: r.Old, New: r.New}}
		}
		if role < wire.Access_ACCESS_WRITER || !before.mayPush(role, r.Name) || deleted && before.keeps(r.Name) ||
			!before.mayGo(&wire.RefUpdate{Name: r.Name, Old: r.Old, New: r.New}, forward) {
			l.s.fail("only who may", "entry %d moves %s under the role %s, and the policy of %d forbids it", a.Index, r.Name, role, before.Version)
		}
	}
	if l.twin.Policy.Version != before.Version {
		l.s.stats.Policies++
	}
	for _, r := range a.Outcome.GetResults() {
		if r.GetCode() == wire.Code_CODE_NOT_FORWARD {
			l.s.stats.Forced++
		}
	}
	if a.Outcome.GetResult().GetCode() == wire.Code_CODE_OK && len(a.Ancestry) > 0 {
		l.s.stats.Forwarded++
	}
}

// revokes checks that a key has no say after the entry that revoked it, whenever it
// signed and whatever was granted since.
func (l *ledger) revokes(a *replica.Applied, data []byte) {
	if a.Repeat || a.Outcome.GetResult().GetCode() != wire.Code_CODE_OK || len(a.Outcome.GetResults()) == 0 {
		return
	}
	if at, gone := l.revoked[a.Signer]; gone {
		l.s.fail("revoked", "entry %d is carried out for a key that entry %d revoked", a.Index, at)
	}
	for i, op := range openData(data).tx.GetOperations() {
		old, err := identity.ParsePublicKey(op.GetReplaceKey().GetOld())
		if err == nil && a.Outcome.GetResults()[i].GetCode() == wire.Code_CODE_OK {
			l.revoked[old] = a.Index
			l.s.stats.Revoked++
		}
	}
}

// whole checks that an atomic transaction had all of its effects or none.
func (l *ledger) whole(a *replica.Applied, data []byte) {
	if a.Outcome == nil || a.Repeat || !openData(data).tx.GetAtomic() {
		return
	}
	failed, succeeded := 0, 0
	for _, r := range a.Outcome.GetResults() {
		if r.GetCode() == wire.Code_CODE_OK {
			succeeded++
		} else {
			failed++
		}
	}
	if failed > 0 && (succeeded > 0 || len(a.Refs) > 0 || a.Head != "" || a.Payload != nil) {
		l.s.fail("all or nothing", "entry %d is atomic: %d operations failed, %d succeeded, %d refs moved", a.Index, failed, succeeded, len(a.Refs))
	}
}

// effect spells what an entry did.
func effect(a *replica.Applied) []byte {
	raw := binary.BigEndian.AppendUint64(nil, uint64(a.StampMillis))
	if a.Outcome == nil {
		return binary.BigEndian.AppendUint64(raw, a.Floor)
	}
	raw = append(raw, encode(a.Outcome)...)
	for _, r := range a.Refs {
		raw = append(raw, r.Name...)
		raw = append(append(append(raw, 0), r.Old...), r.New...)
	}
	return append(raw, a.Head...)
}

// answering checks an outcome when a member is about to give it to a client.
func (l *ledger) answering(m *member, o *wire.Outcome) {
	durable := func(seat replica.Member) bool {
		d := l.confs.gone[seat.RaftID] // it was durable there once
		if other := l.s.node(seat.Peer); other.seat.RaftID == seat.RaftID {
			d = other.disk
		}
		return d != nil && d.holdsEntry(o.GetIndex(), o.GetTerm())
	}
	if !slices.ContainsFunc(l.confs.deciding(m.group.Table().Index()), func(ms *replica.Membership) bool { return ms.HasQuorum(durable) }) {
		l.s.fail("durable at a majority", "member %d answers with entry %d, which is on too few disks", m.number, o.GetIndex())
	}
}

func (d *disk) holdsEntry(index, term uint64) bool {
	if index <= d.index {
		return true // forgotten, so it was applied
	}
	have, err := d.Term(index)
	return err == nil && have == term
}

// acknowledge notes what a client was told about its transaction. floor is what
// had been acknowledged, to anybody, before the client first asked.
func (l *ledger) acknowledge(r *request, o *wire.Outcome, floor uint64) {
	key := stageKey(r.signer[:], r.tx.GetId())
	e := l.entry(o.GetIndex())
	switch {
	case e == nil || e.outcome == nil || !proto.Equal(e.outcome, o):
		l.s.fail("honest outcome", "a client is told about entry %d what the table does not say", o.GetIndex())
	case o.GetIndex() <= floor:
		l.s.fail("real time", "a transaction begun after entry %d was acknowledged is entry %d", floor, o.GetIndex())
	}
	l.acked[key] = o
	l.floor = max(l.floor, o.GetIndex())
	if o.GetResult().GetCode() == wire.Code_CODE_OK {
		l.s.stats.Acknowledged++
	} else {
		l.s.stats.Refused++
	}
}

// listed notes what a client read.
func (l *ledger) listed(got Listing, floor uint64) {
	if got.Index < floor {
		l.s.fail("real time", "a listing begun after entry %d was acknowledged is of entry %d", floor, got.Index)
	}
	l.floor = max(l.floor, got.Index)
	l.s.stats.Reads++
}

// checkKept says whether a member knows all that was ever acknowledged.
func (l *ledger) checkKept(m *member) {
	for _, key := range slices.Sorted(maps.Keys(l.acked)) {
		o := l.acked[key]
		kept := m.group.Table().Outcome(identity.PublicKey([]byte(key[:identity.PublicKeySize])), []byte(key[identity.PublicKeySize:]))
		if !proto.Equal(kept, o) {
			l.s.fail("nothing acknowledged is lost", "member %d does not know entry %d, which a client was told of", m.number, o.GetIndex())
		}
	}
	if at := m.group.Table().Index(); at < l.floor {
		l.s.fail("nothing acknowledged is lost", "member %d is at entry %d, a client was told of %d", m.number, at, l.floor)
	}
}
