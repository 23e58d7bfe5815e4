package node_test

import (
	"bytes"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/node/nodetest"
	"peer/replica"
	"peer/wire"
)

// Messages of raft that no honest member sends: in another's name, of kinds that
// are no messages between members, with tables that do not fit.
func TestHostileRaftMessages(t *testing.T) {
	t.Parallel()
	x := newTarget(t, nil)
	seat := func(i int) uint64 {
		m, _ := x.g.Membership().Member(x.Members[i].ID)
		return m.RaftID
	}
	evil, other, leader := seat(0), seat(1), seat(2)
	term := x.leader.View(x.g).GetTerm()
	index := x.leader.View(x.g).GetIndex()
	to := func(m *pb.Message) *pb.Message {
		m.To = new(leader)
		if m.From == nil {
			m.From = new(evil)
		}
		if m.Term == nil {
			m.Term = new(term)
		}
		return m
	}
	snap := func(data []byte, at uint64) *pb.Message {
		return &pb.Message{Type: pb.MsgSnap.Enum(), Term: new(term + 1), Snapshot: &pb.Snapshot{
			Data: data, Metadata: &pb.SnapshotMetadata{Index: new(at), Term: new(term + 1), ConfState: &pb.ConfState{Voters: []uint64{evil}}},
		}}
	}
	table := func(edit func(*wire.TableSnapshot)) []byte {
		own, err := x.leader.Table(x.g)
		if err != nil {
			t.Fatal(err)
		}
		s := proto.Clone(own.Snapshot()).(*wire.TableSnapshot)
		s.Meta.Index = 1 << 40
		edit(s)
		raw, err := proto.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	const far = 1 << 40
	for name, m := range map[string]*pb.Message{
		"vote in another's name":     {Type: pb.MsgVoteResp.Enum(), From: new(other), Term: new(term + 5)},
		"append in another's name":   {Type: pb.MsgApp.Enum(), From: new(other), Term: new(term + 5), Index: new(index), LogTerm: new(term)},
		"from no seat":               {Type: pb.MsgHeartbeat.Enum(), From: new(uint64(99))},
		"from nobody":                {Type: pb.MsgHeartbeat.Enum(), From: new(uint64(0))},
		"proposal":                   {Type: pb.MsgProp.Enum(), Entries: []*pb.Entry{{Data: []byte("x")}}},
		"campaign":                   {Type: pb.MsgHup.Enum()},
		"beat":                       {Type: pb.MsgBeat.Enum()},
		"check of the quorum":        {Type: pb.MsgCheckQuorum.Enum()},
		"snapshot status":            {Type: pb.MsgSnapStatus.Enum()},
		"storage":                    {Type: pb.MsgStorageAppend.Enum(), Term: new(term + 9)},
		"storage response":           {Type: pb.MsgStorageAppendResp.Enum()},
		"snapshot of garbage":        snap([]byte("garbage"), far),
		"snapshot of nothing":        snap(nil, far),
		"snapshot without a message": {Type: pb.MsgSnap.Enum(), Term: new(term + 1)},
		"snapshot elsewhere":         snap(table(func(s *wire.TableSnapshot) { s.Meta.Index = 5 }), far),
		"snapshot of another genesis": snap(table(func(s *wire.TableSnapshot) {
			s.Genesis = second(t, x)
		}), far),
		"snapshot with a bad ref":     snap(table(func(s *wire.TableSnapshot) { s.Refs[0].Name = "refs/heads/../x" }), far),
		"snapshot with a reserved":    snap(table(func(s *wire.TableSnapshot) { s.Refs[0].Name = "refs/peer/x" }), far),
		"snapshot with a short ID":    snap(table(func(s *wire.TableSnapshot) { s.Refs[0].Oid = []byte{1} }), far),
		"snapshot with a bad outcome": snap(table(func(s *wire.TableSnapshot) { s.Outcomes[0].Id = nil }), far),
		"unknown kind":                {Type: new(pb.MessageType(77))},
		"old term":                    {Type: pb.MsgApp.Enum(), Term: new(uint64(1)), Index: new(uint64(1)), Entries: []*pb.Entry{{Index: new(uint64(2)), Term: new(uint64(1)), Data: []byte("x")}}},
	} {
		t.Run(name, func(t *testing.T) {
			before := x.state(t)
			sendRaft(t, x, x.member, x.g, to(m))
			x.unharmed(t, before)
		})
	}
	t.Run("from a stranger", func(t *testing.T) {
		before := x.state(t)
		sendRaft(t, x, x.owner, x.g, to(&pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(term + 9), Commit: new(index)}))
		x.unharmed(t, before)
	})
	t.Run("of no repository", func(t *testing.T) {
		before := x.state(t)
		unknown := *x.g
		unknown.Repo[0]++
		sendRaft(t, x, x.member, &unknown, to(&pb.Message{Type: pb.MsgHeartbeat.Enum()}))
		genesis := *x.g
		genesis.Hash[0]++
		sendRaft(t, x, x.member, &genesis, to(&pb.Message{Type: pb.MsgHeartbeat.Enum(), Term: new(term + 9)}))
		raw(t, x.member, x.leader.ID, "raft/1", encodeFrame(t, &wire.RaftBatch{Messages: []*wire.RaftMessage{{Repo: []byte("x")}}}))
		raw(t, x.member, x.leader.ID, "raft/1", encodeFrame(t, &wire.RaftBatch{Messages: []*wire.RaftMessage{{Repo: x.g.Repo[:], Genesis: x.g.Hash[:], Message: []byte("garbage")}}}))
		x.unharmed(t, before)
	})
}

// sendRaft sends one message to the leader, and waits until it was taken in.
func sendRaft(t *testing.T, x *target, from *nodetest.Client, g *replica.Genesis, m *pb.Message) {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	raw(t, from, x.leader.ID, "raft/1", encodeFrame(t, &wire.RaftBatch{Messages: []*wire.RaftMessage{{
		Repo: bytes.Clone(g.Repo[:]), Genesis: bytes.Clone(g.Hash[:]), Message: body,
	}}}))
}
