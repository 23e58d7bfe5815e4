package replica

import (
	"errors"
	"strings"
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// TestIntroduced listens to a seat that this member's log does not know yet.
func TestIntroduced(t *testing.T) {
	f := newFollower(t)
	p := seatKey(5).PeerID()
	newer := Member{RaftID: 5, Peer: p, Nonce: make([]byte, NonceBytes), Proof: introduce(t, f.genesis, p, 5)}
	heartbeat := f.message(pb.MsgHeartbeat)
	heartbeat.From = new(uint64(5))
	if _, err := f.Step(p, heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("a message of a seat that is not known: %v", err)
	}
	forged := newer
	forged.Proof = introduce(t, f.genesis, p, 6)
	if err := f.Introduce(f.genesis.Lineage(), forged); err == nil {
		t.Error("a forged seat was introduced")
	}
	if err := f.Introduce(f.genesis.Lineage(), newer); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Step(seatKey(6).PeerID(), heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("another node in an introduced seat: %v", err)
	}
	if _, err := f.Step(p, heartbeat); err != nil {
		t.Errorf("a message of an introduced seat: %v", err)
	}
	f.turns()
	if s := f.State(); s.Leader != p || f.PeerOf(5) != p {
		t.Errorf("%s leads, want the introduced one", s.Leader)
	}
	if err := f.Introduce(f.genesis.Lineage(), f.genesis.Members[1]); err != nil {
		t.Errorf("a seat that is known anyway: %v", err)
	}
	// The log catches up with 4, 5 and 6, of which 5 goes again.
	f.become("1 2 3 4? 5? 6?")
	if len(f.introduced) != 0 {
		t.Errorf("still introduced: %v", f.introduced)
	}
	f.mustConf(f.table.members.Drop(5))
	if err := f.Introduce(f.genesis.Lineage(), newer); err == nil || !strings.Contains(err.Error(), "given up") {
		t.Errorf("a seat that was given up: %v", err)
	}
	if _, err := f.Step(p, heartbeat); !errors.Is(err, ErrUnknownSender) {
		t.Errorf("a message of a seat that was given up: %v", err)
	}
}

// TestIntroducedBound introduces more than there are seats.
func TestIntroducedBound(t *testing.T) {
	f := newFollower(t)
	refused := 0
	for id := uint64(4); id < 4+2*seatsMax; id++ {
		p := seatKey(id).PeerID()
		if f.Introduce(f.genesis.Lineage(), Member{RaftID: id, Peer: p, Proof: introduce(t, f.genesis, p, id)}) != nil {
			refused++
		}
	}
	if refused != seatsMax || len(f.introduced) != seatsMax {
		t.Errorf("%d refused, %d introduced", refused, len(f.introduced))
	}
}
