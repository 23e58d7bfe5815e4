package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"
)

// TestState looks at a leader whose followers answer, fall behind and fall silent.
func TestState(t *testing.T) {
	f := newFollower(t)
	if s := f.State(); s.Leading || s.Leader != "" || len(s.Members) != 0 || s.Applied != 1 {
		t.Errorf("state before an election %+v", s)
	}
	f.lead()
	second, third := f.genesis.Members[1].Peer, f.genesis.Members[2].Peer
	want := func(when string, match, inSync, active int) {
		t.Helper()
		s := f.State()
		if !s.Leading || s.Leader != f.self.Peer || s.Term != 2 {
			t.Errorf("%s: state %+v", when, s)
		}
		got := [3]int{}
		for _, m := range s.Members {
			if m.Peer == second {
				got[0] = int(m.Match)
			}
			if m.InSync {
				got[1]++
			}
			if m.Active {
				got[2]++
			}
			if m.Peer == third && m.InSync {
				t.Errorf("%s: a member that never answered is in sync", when)
			}
		}
		if got != [3]int{match, inSync, active} {
			t.Errorf("%s: match %d, %d in sync, %d active, want %d, %d, %d", when, got[0], got[1], got[2], match, inSync, active)
		}
	}
	want("elected", 0, 1, 2) // the second member voted
	acknowledge := f.message(pb.MsgAppResp)
	acknowledge.Index = new(uint64(2))
	f.mustStep(acknowledge)
	f.turns()
	want("acknowledged", 2, 2, 2)
	for range ElectionTicks / 2 {
		f.Tick()
		f.turns()
	}
	want("for a while silent", 2, 2, 2)
	f.heard[2] = 0
	f.ticks = ElectionTicks + 1
	want("silent", 2, 1, 1)
}
