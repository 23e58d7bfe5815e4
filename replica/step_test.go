package replica

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/wire"
)

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
	if _, err := f.Step(f.leader(), other); !errors.Is(err, ErrDiverged) {
		t.Errorf("another history: %v, want %v", err, ErrDiverged)
	}
	other.Entries = other.Entries[1:]
	other.Index, other.LogTerm = new(uint64(2)), new(uint64(3))
	if _, err := f.Step(f.leader(), other); !errors.Is(err, ErrDiverged) {
		t.Errorf("another history before: %v, want %v", err, ErrDiverged)
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

// TestNoDivergenceBeforeSave replaces an entry that was never committed, and
// goes on, before any of it is saved.
func TestNoDivergenceBeforeSave(t *testing.T) {
	f := newFollower(t)
	f.mustStep(f.append(1, f.entry(0, "")))
	f.wantLog(2, 1)
	next := f.append(2, f.entry(1, ""))
	next.Term, next.Entries[0].Term = new(uint64(3)), new(uint64(3))
	f.mustStep(next)
	more := f.append(3, nil)
	more.Term, more.Index, more.LogTerm = new(uint64(3)), new(uint64(2)), new(uint64(3))
	more.Entries[0].Index, more.Entries[0].Term = new(uint64(3)), new(uint64(3))
	f.mustStep(more)
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
