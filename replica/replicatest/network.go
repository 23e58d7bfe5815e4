package replicatest

import (
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
)

// send gives raft's messages to the network, which keeps some of its promises.
func (s *Sim) send(from *member, messages []*pb.Message) {
	for _, m := range messages {
		to := s.node(from.group.PeerOf(m.GetTo()))
		if to == nil {
			continue // its seat was given up since
		}
		s.ledger.sent(from, m)
		s.note(from.number, m.GetType().String(), m.GetTo(), m.GetTerm(), m.GetIndex()<<20|m.GetCommit())
		raw, err := proto.Marshal(m)
		if err != nil {
			panic(fmt.Sprintf("replicatest: marshal %s: %v", m.GetType(), err))
		}
		s.carry(from, to, m.GetType(), raw)
		if !s.calm && s.chance(s.faults.Duplicate) {
			s.carry(from, to, m.GetType(), raw)
		}
	}
}

// node finds a node; nil for an ID that none has.
func (s *Sim) node(peer identity.PeerID) *member {
	for _, m := range s.members {
		if m.peer == peer {
			return m
		}
	}
	return nil
}

func (s *Sim) latency() time.Duration {
	d := s.between(500*time.Microsecond, 5*time.Millisecond)
	if !s.calm && s.chance(s.faults.Late) {
		d += s.between(0, 500*time.Millisecond)
	}
	return d
}

// carry takes one message across. Some losses are noticed by the sender.
func (s *Sim) carry(from, to *member, kind pb.MessageType, raw []byte) {
	lost, life := !s.calm && s.chance(s.faults.Drop), from.life
	s.after(s.latency(), func() {
		ok := !lost && s.connected(from, to)
		if kind == pb.MsgSnap {
			from.postIn(life, func() { from.group.SnapshotSent(to.peer, ok) })
		}
		if !ok {
			if !s.calm && s.chance(0.5) {
				from.postIn(life, func() { from.group.Unreachable(to.peer) })
			}
			return
		}
		m := new(pb.Message)
		if err := proto.Unmarshal(raw, m); err != nil {
			panic(fmt.Sprintf("replicatest: unmarshal %s: %v", kind, err))
		}
		to.take(from, m)
	})
}

// connected says whether something sent now would arrive.
func (s *Sim) connected(from, to *member) bool {
	return to.running && s.cut[[2]int{from.number, to.number}] == 0
}

// dropped tells the others that a process is gone: they dial it, and nothing answers.
func (s *Sim) dropped(gone *member) {
	for _, m := range s.members {
		if m == gone || !s.chance(0.8) {
			continue
		}
		s.after(s.between(2*time.Millisecond, 30*time.Millisecond), func() {
			if !gone.running && s.cut[[2]int{m.number, gone.number}] == 0 {
				m.post(func() {
					m.others[gone.number].gone = true
					m.forget(gone, campaignBase)
				})
			}
		})
	}
}
