package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/wire"
)

// TestCollect asks a leader which floor it would propose: none above what a push in
// flight rests on, nor above what a member's disk holds, unless that member is so far
// behind that it gets the table anyway.
func TestCollect(t *testing.T) {
	f := newFollower(t)
	old := Collecting{NowMillis: 1000}
	want := func(why string, c Collecting, floor uint64) {
		f.Helper()
		if got := f.Collect(c); got != floor {
			f.Errorf("%s: a floor of %d, want %d", why, got, floor)
		}
	}
	for index := uint64(3); index <= 6; index++ {
		f.table.retired = append(f.table.retired, retiredTip{Retired: &wire.Retired{Index: index}})
	}
	want("a follower", old, 0)
	f.lead()
	want("a leader that has committed nothing", old, 0)
	f.confirm(2, 2)
	f.confirm(3, 2)
	for n := range byte(6) {
		if err := f.rn.Propose(f.entry(n, "")); err != nil {
			t.Fatal(err)
		}
		f.turns()
	}
	f.confirm(2, 8)
	f.confirm(3, 4)
	f.wantLog(8, 8)
	want("a member lags", old, 4)
	want("too young", Collecting{NowMillis: 1000, GraceMillis: 1001}, 0)
	want("a push rests on what is older than the lag", Collecting{NowMillis: 1000, Bases: []uint64{8, 3}}, 3)
	want("a push rests on all of them", Collecting{NowMillis: 1000, Bases: []uint64{2}}, 0)
	if err := f.log.Compact(6); err != nil {
		t.Fatal(err)
	}
	want("a member gets the table anyway", old, 6)
	f.confirm(3, 8)
	want("all members have all", old, 6)
	want("all members have all, and a push is in flight", Collecting{NowMillis: 1000, Bases: []uint64{5}}, 5)
}

// confirm has a member say that it holds the log up to an entry.
func (f *follower) confirm(seat, index uint64) {
	f.Helper()
	m := f.message(pb.MsgAppResp)
	m.From, m.Index = new(seat), new(index)
	if _, err := f.Step(f.PeerOf(seat), m); err != nil {
		f.Fatal(err)
	}
	f.turns()
}
