package replica

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// The decoders of bytes from outside must not panic, and what they accept must
// come back as the same bytes. Where a signature stands before a decoder the
// fuzzed bytes are signed, or nothing would get past it.

func FuzzParseGenesis(f *testing.F) {
	g, err := NewGenesis(owner, testGenesis(3))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(encode(g.Signed), false)
	f.Add(g.Signed.GetBody(), true)
	f.Add([]byte{}, true)
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		s := new(wire.Signed)
		if sign {
			public := owner.Public()
			s = &wire.Signed{Body: data, Signer: public[:], Signature: owner.Sign(identity.DomainGenesis, data)}
		} else if proto.Unmarshal(data, s) != nil {
			return
		}
		g, err := ParseGenesis(s)
		if err != nil {
			return
		}
		if n := len(g.Members); n == 0 || n > MembersMax || n%2 == 0 || identity.CheckName(g.Name) != nil {
			t.Fatalf("accepted %+v", g)
		}
		again, err := ParseGenesis(g.Signed)
		if err != nil || again.Hash != g.Hash || again.Repo != g.Repo {
			t.Fatalf("parsed twice: %v, %v", again, err)
		}
		founded := g.Found(testRules)
		if _, err := LoadTable(scanChanges(founded.Table), testRules); err != nil {
			t.Fatalf("a table founded on it does not load: %v", err)
		}
	})
}

func scanChanges(changes []Change) func(func(string, []byte) error) error {
	return func(f func(string, []byte) error) error {
		for _, c := range changes {
			if err := f(c.Key, c.Value); err != nil {
				return err
			}
		}
		return nil
	}
}

// FuzzApply applies fuzzed entries, and fuzzed transactions that a writer or the
// owner signed. A replica must refuse or stop, never panic, and what it stored must
// load. The owner alone changes settings, to such that a group can follow.
func FuzzApply(f *testing.F) {
	seedBench := newBench(f)
	tx := seedBench.draft(writer, move("heads/main", 0, 1), move("heads/a/b", 0, 2), setHead(mainBranch, "refs/heads/a"), acquire(5, 0), release(2))
	f.Add(encode(tx), byte(1))
	f.Add(seedBench.entry(writer, tx), byte(0))
	f.Add([]byte{0xff}, byte(0))
	wanted := &wire.Settings{Replicas: 5, GraceMs: -1, On: rawPeers(1), Off: rawPeers(2), Stay: true, Priorities: []*wire.Priority{{Peer: rawPeers(3)[0], Priority: -4}}}
	for by, k := range []identity.Key{{}, writer, owner} {
		if by > 0 {
			f.Add(encode(seedBench.draft(k, configure(0, wanted))), byte(by))
			f.Add(encode(seedBench.draft(k, move("heads/main", 1, 2), removal())), byte(by))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, by byte) {
		b := newBench(t)
		b.must(move("heads/main", 0, 1), move("heads/a", 0, 2))
		if by %= 3; by > 0 {
			k := []identity.Key{writer, owner}[by-1]
			public := k.Public()
			data = encode(&wire.Entry{Version: entryVersion, StampUnixMs: 5, Transaction: &wire.Signed{
				Body: data, Signer: public[:], Signature: k.Sign(identity.DomainTransaction, data),
			}})
		}
		before := encode(b.table.Snapshot())
		done, err := b.table.Apply(b.table.Index()+1, 1, data)
		if err != nil {
			if !bytes.Equal(encode(b.table.Snapshot()), before) {
				t.Fatal("a replica that stops changed its table")
			}
			return
		}
		if done.Outcome != nil && len(done.Outcome.GetResults()) > OperationsMax {
			t.Fatalf("%d results", len(done.Outcome.GetResults()))
		}
		s := b.table.Settings()
		if changed := s.GetVersion() != 0 || b.table.Tombstone() != nil; changed && done.Signer != owner.Public() {
			t.Fatalf("%v, and it is not signed by the owner", s)
		}
		if err := checkSettings(s); s.GetVersion() != 0 && err != nil {
			t.Fatal(err)
		}
		b.store(b.table.drain())
		b.checkStored()
	})
}

// FuzzStepSnapshot lets a member send any table. What is accepted is installed,
// gives the same table from the store, and takes the next entry.
func FuzzStepSnapshot(f *testing.F) {
	seed := newFollower(f)
	f.Add(seed.snapshot(9).GetSnapshot().GetData())
	b := newBench(f)
	b.must(move("heads/main", 0, 1), acquire(5, 0), setHead(mainBranch, mainBranch))
	f.Add(encode(b.table.Snapshot()))
	f.Fuzz(func(t *testing.T, data []byte) {
		g := newFollower(t)
		s := new(wire.TableSnapshot)
		if proto.Unmarshal(data, s) != nil {
			s = &wire.TableSnapshot{}
		}
		m := g.message(pb.MsgSnap)
		m.Snapshot = &pb.Snapshot{Data: data, Metadata: &pb.SnapshotMetadata{
			Index: new(s.GetMeta().GetIndex()), Term: new(min(s.GetMeta().GetTerm(), 2)), ConfState: g.genesis.Membership().confState(),
		}}
		if need, err := g.Step(g.leader(), m); err != nil || need == nil {
			return
		}
		if _, err := g.Resume(); err != nil {
			t.Fatal(err)
		}
		turn, err := g.Turn()
		if err != nil || turn == nil || turn.Installed == nil {
			return // behind what is committed here
		}
		stored, err := LoadTable(scanChanges(turn.Save.Table), testRules)
		if err != nil {
			t.Fatalf("an installed table does not load: %v", err)
		}
		if !bytes.Equal(encode(stored.Snapshot()), encode(g.table.Snapshot())) {
			t.Fatal("an installed table is another one from the store")
		}
		if next := g.table.Index() + 1; next != 0 {
			if _, err := g.table.Apply(next, 2, g.entry(0, "")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzStep lets a member send any message to a follower that is empty, to one
// that has entries, and to a leader.
func FuzzStep(f *testing.F) {
	seed := newFollower(f)
	add := func(m *pb.Message) {
		raw, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		for as := range byte(3) {
			f.Add(raw, as)
		}
	}
	add(seed.append(2, seed.entry(0, ""), seed.entry(1, "p")))
	add(seed.snapshot(9))
	for kind := range pb.MessageType_name {
		add(seed.message(pb.MessageType(kind)))
	}
	f.Fuzz(func(t *testing.T, data []byte, as byte) {
		g := newFollower(t)
		switch as % 3 {
		case 1:
			g.mustStep(g.append(3, g.entry(2, ""), g.entry(3, "")))
			g.turns()
		case 2:
			g.lead()
		}
		m := new(pb.Message)
		if proto.Unmarshal(data, m) != nil {
			return
		}
		m.From, m.To = new(uint64(2)), new(uint64(1))
		if need, err := g.Step(g.leader(), m); err == nil && need != nil {
			_, _ = g.Resume() // it may be refused then
		}
		for range 3 {
			turn, err := g.Turn()
			if err != nil || turn == nil {
				return // it leaves its group, or has nothing to do
			}
			_ = g.log.Append(turn.Save.Entries) // the storage may find fault with a table's position
			g.Done(turn)
		}
	})
}
