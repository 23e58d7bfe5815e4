package replicatest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/election"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// member is one replica and the loop that drives it. Everything but disk is
// gone after a crash.
type member struct {
	s      *Sim
	number int
	key    identity.Key
	peer   identity.PeerID
	place
	disk *disk
	skew time.Duration // of its clock
	slow time.Duration // what its disk takes more
	// running: the process is there, if only to say that it has no seat.
	running bool
	// destroyed: the disk is gone for good. heldBack: it stays down for now.
	destroyed, heldBack bool
	// silently: nobody is told of its next crash.
	silently bool
	// life counts starts and crashes: what an earlier life asked for never happens.
	life uint64

	group *replica.Group // nil while it is down
	// saving: the loop waits for the disk, and what comes waits in inbox.
	saving  bool
	inbox   []func()
	turning bool // a turn is scheduled
	needing bool
	present map[string]string // payloads whose objects came by other means
	// pins are objects that were fetched for an entry that is not in the log yet, or
	// for the table at that index.
	pins map[uint64][]string
	// publishAt is when the last publication so far will be done.
	publishAt time.Duration

	waiting   map[string][]func(*wire.Outcome) // by stageKey
	reads     map[uint64]*read
	readSeq   uint64
	confirmed []*read

	leader  identity.PeerID
	others  []other // by number
	pace    election.Pace
	seeking bool
	// ticks counts those of this process; checked is when the leader last said that
	// the group sleeps.
	ticks, checked uint64
	// away is how long others were not reached. askedAt is when it last asked who
	// somebody is, admitting that it waits for a nonce.
	away      map[identity.PeerID]time.Duration
	askedAt   uint64
	admitting bool
	rot       rot
}

func newMember(s *Sim, number int, key identity.Key) *member {
	m := &member{s: s, number: number, key: key, peer: key.PeerID(), disk: newDisk()}
	if s.faults.SkewMax > 0 {
		m.skew = s.between(0, s.faults.SkewMax)
	}
	if seat, founder := s.genesis.Membership().Member(m.peer); founder {
		m.found(seat, nil, nil)
	}
	return m
}

// Held implements [replica.Payloads].
func (m *member) Held(signer, id []byte, p *wire.Payload) bool {
	return m.disk.Held(signer, id, p) || m.present[stageKey(signer, id)] == p.GetName()
}

func (m *member) start() {
	if m.running || m.destroyed || m.heldBack || m.rot.left {
		return
	}
	m.running = true
	if m.seat.RaftID == 0 {
		m.life++
		m.s.note(m.number, "start without a seat", m.life)
		return
	}
	table, err := replica.LoadTable(m.disk.scan, m.s.rules)
	if err != nil {
		m.s.fail("start", "member %d: %v", m.number, err)
		return
	}
	config := replica.Config{
		Self: m.peer, RaftID: m.seat.RaftID, Log: m.disk, Table: table, Rules: m.s.rules, Payloads: m, Logger: quiet{}, Key: m.key,
	}
	if m.s.faults.Pieces {
		config.WriteChanges = 1
	}
	group, err := replica.New(config)
	if err != nil {
		m.s.fail("start", "member %d: %v", m.number, err)
		return
	}
	*m = member{
		s: m.s, number: m.number, key: m.key, peer: m.peer, place: m.place, disk: m.disk, skew: m.skew, slow: m.slow,
		running: true, life: m.life + 1, group: group, rot: rot{rotten: m.rot.rotten}, away: map[identity.PeerID]time.Duration{},
		present: map[string]string{}, pins: map[uint64][]string{}, waiting: map[string][]func(*wire.Outcome){}, reads: map[uint64]*read{},
		pace: election.Pace{BaseTicks: handOverTicks}, others: make([]other, len(m.s.members)),
	}
	for i := range m.others {
		m.others[i].pulse = election.Pulse{FloorTicks: silenceTicks, TickMicros: tick.Microseconds()}
	}
	m.disk.SetSnapshotFunc(group.Snapshot)
	for _, seat := range m.joined {
		_ = group.Introduce(m.proved, seat) // the log may be beyond it
	}
	m.s.ledger.checkConf(m, table.Membership())
	m.s.note(m.number, "start", m.life, table.Index(), m.disk.last())
	m.s.ledger.checkPayloads(m)
	m.replay()
	m.s.ledger.checkChain(m)
	m.in(m.s.between(0, tick), m.tick)
	m.in(0, func() { m.seek(foundingGrace) })
}

// crash takes everything but the disk.
func (m *member) crash(why string) {
	if !m.running {
		return
	}
	m.s.stats.Crashes++
	m.s.note(m.number, why, m.life)
	m.life++
	m.running, m.group, m.inbox, m.saving = false, nil, nil, false
	if !m.silently {
		m.s.dropped(m)
	}
}

func (m *member) crashFor(d time.Duration) {
	m.crash("crash")
	m.restart(d)
}

func (m *member) restart(d time.Duration) { m.s.after(d, m.start) }

// in runs f after a while, if the process still lives then.
func (m *member) in(d time.Duration, f func()) {
	life := m.life
	m.s.after(d, func() { m.postIn(life, f) })
}

// post has f run on the member's loop.
func (m *member) post(f func()) { m.postIn(m.life, f) }

func (m *member) postIn(life uint64, f func()) {
	switch {
	case m.group == nil || life != m.life || m.s.violation != nil:
	case m.saving:
		m.inbox = append(m.inbox, f)
	default:
		f()
		m.turnSoon()
	}
}

// pause has the process do nothing for a while, timers included.
func (m *member) pause(d time.Duration) {
	if m.group == nil || m.saving {
		return
	}
	m.s.note(m.number, "pause", uint64(d/time.Millisecond))
	m.saving = true
	life := m.life
	m.s.after(d, func() {
		if life == m.life {
			m.proceed()
		}
	})
}

// proceed takes in what came while the loop waited.
func (m *member) proceed() {
	inbox := m.inbox
	m.saving, m.inbox = false, nil
	for i, f := range inbox {
		if m.group == nil {
			return
		}
		if m.saving {
			m.inbox = append(m.inbox, inbox[i:]...)
			return
		}
		f()
	}
	m.turnSoon()
}

func (m *member) turnSoon() {
	if m.turning || m.group == nil {
		return
	}
	m.turning = true
	life := m.life
	m.s.after(m.s.between(0, time.Millisecond), func() {
		if life == m.life {
			if m.turning = false; !m.saving {
				m.turn()
			}
		}
	})
}

// turn does what the loop of a node does with one group.
func (m *member) turn() {
	t, err := m.group.Turn()
	if err != nil {
		m.s.fail("turn", "member %d: %v", m.number, err)
	}
	if t == nil || m.s.violation != nil {
		return
	}
	m.group.Compact(t, m.disk.published, m.s.faults.Keep)
	m.s.send(m, t.Early)
	m.s.ledger.leads(m)
	m.saving = true
	life, d := m.life, m.s.between(0, 2*time.Millisecond)
	if !m.s.calm && m.s.chance(m.s.faults.SlowDisk) {
		d += m.s.between(0, 400*time.Millisecond)
	}
	d += m.slow
	if t.Save.Empty() && len(t.More) == 0 {
		d = 0
	}
	m.s.after(d, func() {
		if life == m.life && m.s.violation == nil {
			m.save(t)
		}
	})
}

func (m *member) save(t *replica.Turn) {
	s := m.s
	if !t.Save.Empty() || len(t.More) > 0 {
		if !s.calm && s.chance(s.faults.CrashBefore) {
			m.crash("crash before save")
			m.restart(s.between(20*time.Millisecond, time.Second))
			return
		}
		s.ledger.saving(m, &t.Save)
		for i, piece := range append([]replica.Save{t.Save}, t.More...) {
			if i > 0 && !s.calm && s.chance(s.faults.CrashBetween) {
				s.stats.Torn++
				s.ledger.savedInPart(m, t)
				m.crash("crash between saves")
				m.restart(s.between(20*time.Millisecond, time.Second))
				return
			}
			if err := m.disk.save(&piece); err != nil {
				s.fail("save", "member %d: %v", m.number, err)
				return
			}
		}
		s.note(m.number, "save", t.Save.HardState.GetTerm(), m.disk.last(), t.Save.CompactTo)
		s.ledger.saved(m, t)
		if !s.calm && s.chance(s.faults.CrashAfter) {
			m.crash("crash after save")
			m.restart(s.between(20*time.Millisecond, time.Second))
			return
		}
	}
	s.send(m, t.Messages)
	m.carryOut(t)
	m.group.Done(t)
	m.proceed()
}

// carryOut acts on a turn that is durable.
func (m *member) carryOut(t *replica.Turn) {
	if t.LeaderChanged {
		m.leaderChanged(t.Leader)
	}
	if t.Installed != nil {
		m.s.stats.Snapshots++
		m.disk.published = t.Installed.GetMeta().GetIndex() // the objects came first
	}
	m.publish(t.Applied)
	for _, a := range t.Applied {
		m.s.note(m.number, "apply", a.Index, a.Term)
		if a.Outcome == nil {
			continue
		}
		key := stageKey(a.Signer[:], a.ID)
		answers := m.waiting[key]
		delete(m.waiting, key)
		for _, answer := range answers {
			m.s.ledger.answering(m, a.Outcome)
			answer(a.Outcome)
		}
	}
	m.answerReads(t.Reads)
	m.noticed(t)
}

// step takes a message, and sees to what the group then needs.
func (m *member) step(from *member, message *pb.Message) {
	need, err := m.group.Step(from.peer, message)
	if errors.Is(err, replica.ErrUnknownSender) {
		m.askWho(from, message.GetFrom())
	}
	m.stepped(need, err)
}

// nowMillis is the member's clock.
func (m *member) nowMillis() int64 { return 1_700_000_000_000 + (m.s.now + m.skew).Milliseconds() }

func encode(m proto.Message) []byte {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("replicatest: encode: %v", err))
	}
	return raw
}

func readContext(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// quiet is a logger that only panics.
type quiet struct{ raft.DefaultLogger }

func (quiet) Debug(...any)            {}
func (quiet) Debugf(string, ...any)   {}
func (quiet) Info(...any)             {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warning(...any)          {}
func (quiet) Warningf(string, ...any) {}
func (quiet) Error(...any)            {}
func (quiet) Errorf(string, ...any)   {}
func (quiet) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (quiet) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
