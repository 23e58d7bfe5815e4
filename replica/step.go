package replica

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"math"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Need is something that must be on this disk before the group can go on:
// either a payload or, for a table, all objects that its refs name.
type Need struct {
	Signer, TransactionID []byte
	TxSum                 []byte // of the transaction's signed bytes
	Payload               *wire.Payload
	Updates               []RefChange // what the payload's transaction moves
	Table                 *wire.TableSnapshot
	From                  identity.PeerID
	Index                 uint64
}

// Step takes a message from another member. A Need means that the message, or
// the rest of it, is held back: call [Group.Resume] when the need is met. A
// newer message of the leader replaces a held one. While one need is being met
// others may be ignored: Resume names what is then still missing.
func (g *Group) Step(from identity.PeerID, m *pb.Message) (*Need, error) {
	switch sender := g.seat(m.GetFrom()); {
	case m.GetTo() != g.self.RaftID:
		return nil, fmt.Errorf("message from %s to seat %d, this is %d", from, m.GetTo(), g.self.RaftID)
	case sender.Peer != from:
		return nil, fmt.Errorf("%s in seat %d: %w", from, m.GetFrom(), ErrUnknownSender)
	}
	g.heard[m.GetFrom()] = g.ticks
	if err := checkMessage(m); err != nil {
		return nil, fmt.Errorf("message from %s: %w", from, err)
	}
	if !lateAnswer(m) {
		g.Wake()
	}
	switch m.GetType() {
	case pb.MsgHeartbeat:
		// The leader names at most what this member acknowledged; raft would panic.
		if last := g.lastIndex(); m.GetCommit() > last {
			return nil, &LostLogError{Acknowledged: m.GetCommit(), Last: last}
		}
	case pb.MsgReadIndex:
		// Raft would pass it on in the asker's name, which the leader refuses.
		if _, leading := g.Leading(); !leading {
			return nil, nil // the asker asks again
		}
	case pb.MsgApp:
		return g.stepAppend(from, m)
	case pb.MsgSnap:
		return g.stepSnapshot(from, m)
	}
	if err := g.believe(m); err != nil {
		return nil, err
	}
	if m.GetType() == pb.MsgAppResp {
		defer g.conclude()
		g.takeVouch(m)
	}
	return nil, g.step(m)
}

// Resume goes on with what Step held back. It may find the next need.
func (g *Group) Resume() (*Need, error) {
	m, met := g.held, g.meeting
	g.held, g.meeting = nil, nil
	switch {
	case m == nil:
		return nil, nil
	case m.GetType() != pb.MsgSnap:
		return g.stepAppend(g.seat(m.GetFrom()).Peer, m)
	case m != met: // another need was met, not that of this table
		return g.stepSnapshot(g.seat(m.GetFrom()).Peer, m)
	}
	return nil, g.step(m)
}

// Abandon gives up what Step held back. Raft will send it again.
func (g *Group) Abandon() { g.held, g.meeting = nil, nil }

// hold keeps a message back.
func (g *Group) hold(m *pb.Message) {
	if g.held = m; g.meeting == nil {
		g.meeting = m
	}
}

func (g *Group) step(m *pb.Message) error {
	if err := g.rn.Step(m); err != nil && !errors.Is(err, raft.ErrStepPeerNotFound) {
		return fmt.Errorf("step %s: %w", m.GetType(), err)
	}
	return nil
}

// stepAppend cuts the message before the first entry whose payload is not held.
func (g *Group) stepAppend(from identity.PeerID, m *pb.Message) (*Need, error) {
	if m.GetTerm() < g.rn.BasicStatus().GetTerm() {
		return nil, g.step(m) // of a deposed leader: raft tells it
	}
	if err := g.trim(m); err != nil {
		return nil, fmt.Errorf("append from %s: %w", from, err)
	}
	for i, e := range m.GetEntries() {
		need, err := g.needOf(e)
		if err != nil {
			return nil, fmt.Errorf("append from %s: %w", from, err)
		}
		if need == nil {
			continue
		}
		need.From = from
		if g.held.GetType() != pb.MsgSnap { // a snapshot that waits comes first
			g.hold(m)
		}
		cut, _ := proto.Clone(m).(*pb.Message)
		cut.Entries = cut.Entries[:i]
		cut.Commit = new(min(m.GetCommit(), m.GetIndex()+uint64(i)))
		return need, g.step(cut)
	}
	return nil, g.step(m)
}

func (g *Group) needOf(e *pb.Entry) (*Need, error) {
	if e.GetType() == pb.EntryConfChangeV2 {
		// Once committed it would stop every member.
		if err := proto.Unmarshal(e.GetData(), new(pb.ConfChangeV2)); err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
		}
	}
	if e.GetType() != pb.EntryNormal || len(e.GetData()) == 0 {
		return nil, nil
	}
	entry := new(wire.Entry)
	if err := proto.Unmarshal(e.GetData(), entry); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	if entry.GetPayload() == nil || g.holds(entry) {
		return nil, nil
	}
	need := &Need{Payload: entry.GetPayload(), Index: e.GetIndex()}
	tx := new(wire.Transaction)
	if err := proto.Unmarshal(entry.GetTransaction().GetBody(), tx); err != nil {
		return nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	sum := sha256.Sum256(entry.GetTransaction().GetBody())
	need.Signer, need.TransactionID, need.TxSum = tx.GetSigner(), tx.GetId(), sum[:]
	for _, op := range tx.GetOperations() {
		if u := op.GetRefUpdate(); u != nil {
			need.Updates = append(need.Updates, RefChange{Name: u.GetName(), Old: u.GetOld(), New: u.GetNew()})
		}
	}
	return need, nil
}

// holds applies the payload rule. An inline payload is held by being in the entry.
func (g *Group) holds(e *wire.Entry) bool {
	p := e.GetPayload()
	if len(p.GetInlinePack()) > 0 {
		return true
	}
	tx := new(wire.Transaction)
	if proto.Unmarshal(e.GetTransaction().GetBody(), tx) != nil {
		return false
	}
	return g.payloads.Held(tx.GetSigner(), tx.GetId(), p)
}

// stepSnapshot holds a snapshot back until its objects are here.
func (g *Group) stepSnapshot(from identity.PeerID, m *pb.Message) (*Need, error) {
	s := new(wire.TableSnapshot)
	if err := proto.Unmarshal(m.GetSnapshot().GetData(), s); err != nil {
		return nil, fmt.Errorf("snapshot from %s: %w", from, err)
	}
	table, err := fromSnapshot(s, g.genesis, g.rules)
	if err != nil {
		return nil, fmt.Errorf("snapshot from %s: %w", from, err)
	}
	if err := g.checkPosition(m.GetSnapshot().GetMetadata(), table); err != nil {
		return nil, fmt.Errorf("snapshot from %s: %w", from, err)
	}
	if g.held.GetType() == pb.MsgSnap {
		return nil, nil // one is waiting for its objects; raft goes on from there
	}
	g.hold(m)
	return &Need{Table: s, From: from, Index: s.GetMeta().GetIndex()}, nil
}

func (g *Group) lastIndex() uint64 {
	if status := g.rn.BasicStatus(); status.RaftState == raft.StateLeader {
		return math.MaxUint64 // a leader's log only grows; raft ignores what others send
	}
	last, err := g.log.LastIndex()
	if err != nil {
		return 0
	}
	return last
}

func (g *Group) termOf(index uint64) uint64 {
	term, err := g.log.Term(index)
	if err != nil {
		return 0
	}
	return term
}
