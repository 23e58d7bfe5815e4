package replica

import (
	"errors"
	"fmt"
	"io"
	"log"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// follower is member 1 of three, alone with what a test sends it.
type follower struct {
	testing.TB
	*Group
	log  *memoryLog
	held map[string]bool // payload names
}

// memoryLog is raft's own storage, as a [Log].
type memoryLog struct {
	*raft.MemoryStorage
	snapshot func() (*pb.Snapshot, error)
}

var discard = log.New(io.Discard, "", 0)

func (l *memoryLog) SetSnapshotFunc(f func() (*pb.Snapshot, error)) { l.snapshot = f }
func (l *memoryLog) Snapshot() (*pb.Snapshot, error)                { return l.snapshot() }

func (f *follower) Held(_, _ []byte, p *wire.Payload) bool { return f.held[p.GetName()] }

func newFollower(t testing.TB) *follower {
	t.Helper()
	g, err := NewGenesis(owner, testGenesis(3))
	if err != nil {
		t.Fatal(err)
	}
	founding := g.Found(testRules)
	table, err := LoadTable(func(f func(string, []byte) error) error {
		for _, c := range founding.Table {
			if err := f(c.Key, c.Value); err != nil {
				return err
			}
		}
		return nil
	}, testRules)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{TB: t, log: &memoryLog{MemoryStorage: raft.NewMemoryStorage()}, held: map[string]bool{}}
	if err := f.log.ApplySnapshot(&pb.Snapshot{Data: []byte{0}, Metadata: founding.Install}); err != nil {
		t.Fatal(err)
	}
	if err := f.log.SetHardState(founding.HardState); err != nil {
		t.Fatal(err)
	}
	f.Group, err = New(Config{
		Self: g.Members[0].Peer, Log: f.log, Table: table, Rules: testRules, Payloads: f,
		Logger: &raft.DefaultLogger{Logger: discard},
	})
	if err != nil {
		t.Fatal(err)
	}
	f.log.SetSnapshotFunc(f.Group.Snapshot)
	return f
}

// turns carries out whatever is to be done, and returns the messages.
func (f *follower) turns() (sent []*pb.Message) {
	f.Helper()
	for {
		turn, err := f.Turn()
		if err != nil {
			f.Fatal(err)
		}
		if turn == nil {
			return sent
		}
		if turn.Save.Install != nil {
			if err := f.log.ApplySnapshot(&pb.Snapshot{Data: []byte{0}, Metadata: turn.Save.Install}); err != nil {
				f.Fatal(err)
			}
		}
		if err := f.log.Append(turn.Save.Entries); err != nil {
			f.Fatal(err)
		}
		if turn.Save.HardState != nil {
			if err := f.log.SetHardState(turn.Save.HardState); err != nil {
				f.Fatal(err)
			}
		}
		sent = append(sent, append(turn.Early, turn.Messages...)...)
		f.Done(turn)
	}
}

// leader is member 2.
func (f *follower) leader() identity.PeerID { return f.genesis.Members[1].Peer }

func (f *follower) message(kind pb.MessageType) *pb.Message {
	return &pb.Message{Type: kind.Enum(), From: new(uint64(2)), To: new(uint64(1)), Term: new(uint64(2))}
}

// append is an append of entries that follow position (1, 1).
func (f *follower) append(commit uint64, entries ...[]byte) *pb.Message {
	m := f.message(pb.MsgApp)
	m.Index, m.LogTerm, m.Commit = new(uint64(1)), new(uint64(1)), new(commit)
	for i, data := range entries {
		m.Entries = append(m.Entries, &pb.Entry{Type: pb.EntryNormal.Enum(), Term: new(uint64(2)), Index: new(uint64(i + 2)), Data: data})
	}
	return m
}

// lead has the others vote for this member. It leads in term 2.
func (f *follower) lead() {
	f.Helper()
	if err := f.Campaign(); err != nil {
		f.Fatal(err)
	}
	f.turns()
	for _, kind := range []pb.MessageType{pb.MsgPreVoteResp, pb.MsgVoteResp} {
		f.mustStep(f.message(kind))
		f.turns()
	}
	if term, leading := f.Leading(); !leading || term != 2 {
		f.Fatalf("leads: %v, in term %d", leading, term)
	}
}

// entry is a transaction that brings a payload; an empty name brings none.
func (f *follower) entry(id byte, payload string) []byte {
	f.Helper()
	public := writer.Public()
	tx := &wire.Transaction{
		Genesis: f.genesis.Hash[:], Signer: public[:], Id: []byte(strings.Repeat(string(rune('a'+id)), TransactionIDBytes)),
		Window: WindowMax, Operations: []*wire.Operation{move(fmt.Sprintf("heads/b%d", id), 0, id+1)},
	}
	signed, err := Seal(writer, identity.DomainTransaction, tx)
	if err != nil {
		f.Fatal(err)
	}
	e := &wire.Entry{Version: entryVersion, Transaction: signed}
	if payload != "" {
		e.Payload = &wire.Payload{Name: payload}
	}
	return encode(e)
}

func (f *follower) snapshot(index uint64) *pb.Message {
	table := newTable(f.genesis, testRules)
	table.meta = &wire.TableMeta{Index: index, Term: 2, Chain: f.genesis.Hash[:], Head: mainBranch}
	table.putRef(&wire.Ref{Name: mainBranch, Oid: oid(7), Index: 2})
	m := f.message(pb.MsgSnap)
	m.Snapshot = &pb.Snapshot{Data: encode(table.Snapshot()), Metadata: &pb.SnapshotMetadata{
		Index: new(index), Term: new(uint64(2)), ConfState: f.genesis.confState(),
	}}
	return m
}

func (f *follower) mustStep(m *pb.Message) *Need {
	f.Helper()
	need, err := f.Step(f.leader(), m)
	if err != nil {
		f.Fatal(err)
	}
	return need
}

func (f *follower) mustResume() *Need {
	f.Helper()
	need, err := f.Resume()
	if err != nil {
		f.Fatal(err)
	}
	return need
}

func (f *follower) wantLog(last, applied uint64) {
	f.Helper()
	f.turns()
	if got, _ := f.log.LastIndex(); got != last || f.table.Index() != applied {
		f.Errorf("log ends at %d and %d is applied, want %d and %d", got, f.table.Index(), last, applied)
	}
}

// TestPayloadRule cuts appends before entries whose payloads are not held.
func TestPayloadRule(t *testing.T) {
	f := newFollower(t)
	m := f.append(5, f.entry(0, ""), f.entry(1, "first"), f.entry(2, ""), f.entry(3, "second"))
	need := f.mustStep(m)
	if need.Payload.GetName() != "first" || need.Index != 3 || need.From != f.leader() || len(need.Updates) != 1 || need.Updates[0].Name != "refs/heads/b1" {
		t.Errorf("need %+v", need)
	}
	f.wantLog(2, 2)
	// Not met yet: the same again cuts at the same place.
	if again := f.mustResume(); again.Payload.GetName() != "first" {
		t.Errorf("need %+v", again)
	}
	f.held["first"] = true
	if need = f.mustResume(); need.Payload.GetName() != "second" {
		t.Errorf("need %+v", need)
	}
	f.wantLog(4, 4)
	f.Abandon()
	f.held["second"] = true
	if need = f.mustResume(); need != nil {
		t.Errorf("need %+v after it was abandoned", need)
	}
	f.wantLog(4, 4)
	// What is in the log already is not asked for again.
	delete(f.held, "first")
	if need = f.mustStep(f.append(5, f.entry(0, ""), f.entry(1, "first"), f.entry(2, ""), f.entry(3, "second"))); need != nil {
		t.Errorf("need %+v", need)
	}
	f.wantLog(5, 5)
}

// TestInlinePayload needs nothing: the bytes are in the entry.
func TestInlinePayload(t *testing.T) {
	f := newFollower(t)
	e := new(wire.Entry)
	if err := proto.Unmarshal(f.entry(0, "p"), e); err != nil {
		t.Fatal(err)
	}
	e.Payload.InlinePack = []byte("PACK")
	if need := f.mustStep(f.append(2, encode(e))); need != nil {
		t.Errorf("need %+v", need)
	}
	f.wantLog(2, 2)
}

// TestSnapshotWaits holds a table back until its own objects are met, whatever
// else is met meanwhile.
func TestSnapshotWaits(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(2, f.entry(0, "slow")))
	if need := f.mustStep(f.snapshot(9)); len(need.Table.GetRefs()) != 1 || need.Index != 9 {
		t.Errorf("need %+v", need)
	}
	f.held["slow"] = true
	need := f.mustResume() // the payload is here, the table's objects are not
	if need == nil || need.Table == nil {
		t.Fatalf("need %+v, want the table's", need)
	}
	f.wantLog(1, 1)
	if need = f.mustResume(); need != nil {
		t.Errorf("need %+v", need)
	}
	f.wantLog(9, 9)
	if f.refCount() != 1 {
		t.Errorf("%d refs after the install", f.refCount())
	}
}

func (f *follower) refCount() int { return len(f.table.refs) }

// TestSnapshotOnce takes one table at a time.
func TestSnapshotOnce(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.snapshot(9))
	if need := f.mustStep(f.snapshot(12)); need != nil {
		t.Errorf("need %+v while a table waits", need)
	}
	f.mustResume()
	f.wantLog(9, 9)
}

// TestLostLog finds out that acknowledged entries are gone.
func TestLostLog(t *testing.T) {
	f := newFollower(t)
	m := f.message(pb.MsgHeartbeat)
	m.Commit = new(uint64(4))
	_, err := f.Step(f.leader(), m)
	if lost := new(LostLogError); !errors.As(err, &lost) || lost.Acknowledged != 4 || lost.Last != 1 {
		t.Errorf("a heartbeat that names entry 4: %v", err)
	}
	if sent := f.turns(); len(sent) != 0 {
		t.Errorf("answered with %v", sent)
	}
}

// TestStepRefuses checks who may send what.
func TestStepRefuses(t *testing.T) {
	with := func(edit func(*pb.Message)) func(*follower) *pb.Message {
		return func(f *follower) *pb.Message {
			m := f.append(2, f.entry(0, ""))
			edit(m)
			return m
		}
	}
	snap := func(edit func(*pb.Snapshot)) func(*follower) *pb.Message {
		return func(f *follower) *pb.Message {
			m := f.snapshot(9)
			edit(m.Snapshot)
			return m
		}
	}
	for name, c := range map[string]struct {
		from int // member by number; 9 is a stranger
		make func(*follower) *pb.Message
	}{
		"stranger":            {9, with(func(*pb.Message) {})},
		"other member's name": {2, with(func(*pb.Message) {})},
		"to somebody else":    {1, with(func(m *pb.Message) { m.To = new(uint64(3)) })},
		"own name":            {1, with(func(m *pb.Message) { m.From = new(uint64(1)) })},
		"broken entry":        {1, with(func(m *pb.Message) { m.Entries[0].Data = []byte{0xff} })},
		"broken transaction": {1, with(func(m *pb.Message) {
			m.Entries[0].Data = encode(&wire.Entry{Version: 1, Payload: &wire.Payload{Name: "x"}, Transaction: &wire.Signed{Body: []byte{0xff}}})
		})},
		"gap":              {1, with(func(m *pb.Message) { m.Entries[0].Index = new(uint64(3)) })},
		"entry of before":  {1, with(func(m *pb.Message) { m.Entries[0].Index = new(uint64(1)) })},
		"term back":        {1, with(func(m *pb.Message) { m.Entries[0].Term = new(uint64(0)) })},
		"term ahead":       {1, with(func(m *pb.Message) { m.Entries[0].Term = new(uint64(3)) })},
		"no snapshot":      {1, func(f *follower) *pb.Message { return f.message(pb.MsgSnap) }},
		"broken table":     {1, snap(func(s *pb.Snapshot) { s.Data = []byte{0xff} })},
		"empty table":      {1, snap(func(s *pb.Snapshot) { s.Data = nil })},
		"other position":   {1, snap(func(s *pb.Snapshot) { s.Metadata.Index = new(uint64(10)) })},
		"other term":       {1, snap(func(s *pb.Snapshot) { s.Metadata.Term = new(uint64(1)) })},
		"other members":    {1, snap(func(s *pb.Snapshot) { s.Metadata.ConfState.Voters = []uint64{1} })},
		"learners":         {1, snap(func(s *pb.Snapshot) { s.Metadata.ConfState.Learners = []uint64{4} })},
		"no configuration": {1, snap(func(s *pb.Snapshot) { s.Metadata.ConfState = nil })},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t)
			from := stranger.PeerID()
			if c.from < len(f.genesis.Members) {
				from = f.genesis.Members[c.from].Peer
			}
			if need, err := f.Step(from, c.make(f)); err == nil || need != nil {
				t.Errorf("need %v, error %v", need, err)
			}
			f.wantLog(1, 1)
		})
	}
}

// TestKinds checks which kinds of message are taken from another member.
func TestKinds(t *testing.T) {
	want := "MsgApp MsgAppResp MsgHeartbeat MsgHeartbeatResp MsgPreVote MsgPreVoteResp MsgReadIndexResp MsgTimeoutNow MsgVote MsgVoteResp"
	var taken []string
	for kind, name := range pb.MessageType_name {
		f := newFollower(t)
		if _, err := f.Step(f.leader(), f.message(pb.MessageType(kind))); err == nil {
			taken = append(taken, name)
		}
		m := f.message(pb.MessageType(kind))
		m.Term = nil
		if _, err := f.Step(f.leader(), m); err == nil {
			t.Errorf("%s was taken without a term", name)
		}
	}
	slices.Sort(taken)
	if got := strings.Join(taken, " "); got != want { // a snapshot must hold one
		t.Errorf("took %s, want %s", got, want)
	}
	f := newFollower(t)
	m := f.message(pb.MsgReadIndex)
	m.Term, m.Entries = nil, []*pb.Entry{{Data: []byte{1}}}
	if _, err := f.Step(f.leader(), m); err != nil {
		t.Errorf("a request for a ReadIndex: %v", err)
	}
}

// TestDivergence refuses an append that contradicts what was applied.
func TestDivergence(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(3, f.entry(0, ""), f.entry(1, "")))
	f.wantLog(3, 3)
	other := f.append(3, f.entry(2, ""), f.entry(3, ""))
	for _, e := range other.Entries {
		e.Term = new(uint64(3))
	}
	other.Term = new(uint64(3))
	if _, err := f.Step(f.leader(), other); !errors.Is(err, errDiverged) {
		t.Errorf("another history: %v, want %v", err, errDiverged)
	}
	// From a leader of before, it is only late.
	f.turns()
	heartbeat := f.message(pb.MsgHeartbeat)
	heartbeat.Term = new(uint64(4))
	f.mustStep(heartbeat)
	f.turns()
	if need := f.mustStep(other); need != nil {
		t.Errorf("need %+v", need)
	}
	f.wantLog(3, 3)
}

// TestProposals checks what a member that does not lead says, and the leader's
// own payload rule.
func TestProposals(t *testing.T) {
	f := newFollower(t)
	e := new(wire.Entry)
	if err := proto.Unmarshal(f.entry(0, ""), e); err != nil {
		t.Fatal(err)
	}
	if err := f.Propose(e); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a follower's proposal: %v", err)
	}
	e.Payload = &wire.Payload{Name: "absent"}
	if err := f.Propose(e); err == nil || errors.Is(err, ErrNotLeader) {
		t.Errorf("a payload that is not here: %v", err)
	}
}

func TestNewRefuses(t *testing.T) {
	f := newFollower(t)
	_, err := New(Config{Self: stranger.PeerID(), Log: f.log, Table: f.table, Rules: testRules, Payloads: f, Logger: &raft.DefaultLogger{Logger: discard}})
	if err == nil || !strings.Contains(err.Error(), "no seat") {
		t.Errorf("a node without a seat: %v", err)
	}
}
