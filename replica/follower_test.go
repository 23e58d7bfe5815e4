package replica

import (
	"fmt"
	"io"
	"log"
	"strings"
	"testing"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// follower is member 1 of three, alone with what a test sends it.
type follower struct {
	testing.TB
	*Group
	log  *memoryLog
	held map[string]bool // payload names
	// saved is raft's configuration as it was last saved.
	saved *pb.ConfState
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
	return newFollowerAs(t, Config{Self: testKey(100).PeerID(), Key: testKey(100)})
}

// newFollowerAs is another node, or the same in another seat.
func newFollowerAs(t testing.TB, c Config) *follower {
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
	f := &follower{TB: t, log: &memoryLog{MemoryStorage: raft.NewMemoryStorage()}, held: map[string]bool{}, saved: founding.Install.GetConfState()}
	if err := f.log.ApplySnapshot(&pb.Snapshot{Data: []byte{0}, Metadata: founding.Install}); err != nil {
		t.Fatal(err)
	}
	if err := f.log.SetHardState(founding.HardState); err != nil {
		t.Fatal(err)
	}
	c.Log, c.Table, c.Rules, c.Payloads, c.Logger = f.log, table, testRules, f, &raft.DefaultLogger{Logger: discard}
	f.Group, err = New(c)
	if err != nil {
		t.Fatal(err)
	}
	f.log.SetSnapshotFunc(f.Snapshot)
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
			f.saved = turn.Save.Install.GetConfState()
		}
		if turn.Save.Conf != nil {
			f.saved = turn.Save.Conf
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
	table.meta = &wire.TableMeta{Index: index, Term: 2, Chain: f.genesis.Hash[:], ChainVersion: chainVersion, Head: mainBranch}
	table.putRef(&wire.Ref{Name: mainBranch, Oid: oid(7), Index: 2})
	m := f.message(pb.MsgSnap)
	m.Snapshot = &pb.Snapshot{Data: encode(table.Snapshot()), Metadata: &pb.SnapshotMetadata{
		Index: new(index), Term: new(uint64(2)), ConfState: f.genesis.Membership().confState(),
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
