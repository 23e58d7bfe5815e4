package replica

import (
	"testing"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
)

func everybody(identity.PeerID) bool { return true }

// restingLeader leads a group of three of which the other members have all.
func restingLeader(t *testing.T, answered int) *follower {
	f := newFollower(t)
	f.lead()
	for i := range answered {
		f.acknowledge(uint64(i + 2))
	}
	return f
}

func (f *follower) acknowledge(raftID uint64) {
	f.Helper()
	m := f.message(pb.MsgAppResp)
	m.From, m.Index = new(raftID), new(uint64(2))
	if _, err := f.Step(f.table.members.PeerOf(raftID), m); err != nil {
		f.Fatal(err)
	}
	f.turns()
}

// ticksToSleep is how many ticks a leader stays awake; -1: for ever.
func (f *follower) ticksToSleep(alive func(identity.PeerID) bool) int {
	for n := range 5 * calmTicks {
		if f.FallAsleep(alive) {
			return n
		}
		f.Tick()
		f.turns()
		for id := uint64(2); id <= 3; id++ { // or the leader would step down
			m := f.message(pb.MsgHeartbeatResp)
			m.From = new(id)
			if _, err := f.Step(f.table.members.PeerOf(id), m); err != nil {
				f.Fatal(err)
			}
		}
		f.turns()
	}
	return -1
}

func TestFallAsleep(t *testing.T) {
	third := func(f *follower) identity.PeerID { return f.table.members.PeerOf(3) }
	for name, c := range map[string]struct {
		answered int
		alive    func(*follower) func(identity.PeerID) bool
		before   func(*follower)
		want     bool
	}{
		"all have all": {answered: 2, want: true},
		"one lags":     {answered: 1},
		"one lags that is dead": {answered: 1, alive: func(f *follower) func(identity.PeerID) bool {
			return func(p identity.PeerID) bool { return p != third(f) }
		}, want: true},
		"a majority is dead":        {answered: 2, alive: func(*follower) func(identity.PeerID) bool { return func(identity.PeerID) bool { return false } }},
		"nothing is committed":      {answered: 0},
		"leadership is handed over": {answered: 2, before: func(f *follower) { f.TransferTo(third(f)); f.turns() }},
		"an entry is under way":     {answered: 2, before: func(f *follower) { f.propose(); f.turns() }},
	} {
		t.Run(name, func(t *testing.T) {
			f := restingLeader(t, c.answered)
			alive := everybody
			if c.alive != nil {
				alive = c.alive(f)
			}
			if c.before != nil {
				c.before(f)
			}
			if name == "leadership is handed over" {
				if f.FallAsleep(alive) || f.calm != 0 {
					t.Error("it counts as calm")
				}
				return
			}
			if got := f.ticksToSleep(alive); (got == calmTicks) != c.want || !c.want && got >= 0 {
				t.Errorf("asleep after %d ticks", got)
			}
			if s, ok := f.Resting(); ok != c.want || ok && s != (Sleep{Term: 2, Index: 2}) {
				t.Errorf("rests at %+v, %v", s, ok)
			}
		})
	}
}

func (f *follower) propose() {
	f.Helper()
	if err := f.rn.Propose(f.entry(1, "")); err != nil {
		f.Fatal(err)
	}
}

// TestSleepersWake: all that may concern a sleeping leader wakes it, and what only
// answers what it said before does not.
func TestSleepersWake(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*follower)
		wakes bool
	}{
		"a late heartbeat's answer":    {do: func(f *follower) { f.mustStep(f.message(pb.MsgHeartbeatResp)) }},
		"a late acknowledgement":       {do: func(f *follower) { f.acknowledge(2) }},
		"a request for votes":          {do: func(f *follower) { f.mustStep(vote(f, pb.MsgPreVote)) }, wakes: true},
		"a real one":                   {do: func(f *follower) { f.mustStep(vote(f, pb.MsgVote)) }, wakes: true},
		"a newer term":                 {do: func(f *follower) { m := f.message(pb.MsgAppResp); m.Term = new(uint64(9)); f.mustStep(m) }, wakes: true},
		"a rejection":                  {do: func(f *follower) { m := f.message(pb.MsgAppResp); m.Reject = new(true); f.mustStep(m) }, wakes: true},
		"a read from afar":             {do: func(f *follower) { f.mustStep(read(f)) }, wakes: true},
		"a read":                       {do: func(f *follower) { f.ReadIndex([]byte("12345678")) }, wakes: true},
		"a hand-over":                  {do: func(f *follower) { f.TransferTo(f.leader()) }, wakes: true},
		"a member that lags after all": {do: func(f *follower) { f.Unreachable(f.leader()); f.FallAsleep(everybody) }, wakes: true},
		"a majority that dies":         {do: func(f *follower) { f.FallAsleep(func(identity.PeerID) bool { return false }) }, wakes: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := restingLeader(t, 2)
			if f.ticksToSleep(everybody) < 0 {
				t.Fatal("never sleeps")
			}
			c.do(f)
			f.turns()
			if f.Asleep() == c.wakes {
				t.Errorf("asleep: %v", f.Asleep())
			}
		})
	}
}

func vote(f *follower, kind pb.MessageType) *pb.Message {
	m := f.message(kind)
	m.Term, m.Index, m.LogTerm = new(uint64(3)), new(uint64(2)), new(uint64(2))
	return m
}

func read(f *follower) *pb.Message {
	m := f.message(pb.MsgReadIndex)
	m.Term = new(uint64(0))
	m.Entries = []*pb.Entry{{Data: []byte("12345678")}}
	return m
}

// TestAgree: a follower sleeps if it knows all that the leader knew.
func TestAgree(t *testing.T) {
	here := Sleep{Term: 2, Index: 2}
	for name, c := range map[string]struct {
		said Sleep
		by   uint64
		do   func(*follower)
		want bool
	}{
		"all is the same":            {said: here, by: 2, want: true},
		"another member says so":     {said: here, by: 3},
		"an older term":              {said: Sleep{Term: 1, Index: 2}, by: 2},
		"a newer term":               {said: Sleep{Term: 3, Index: 2}, by: 2},
		"an entry that is not here":  {said: Sleep{Term: 2, Index: 3}, by: 2},
		"an entry less":              {said: Sleep{Term: 2, Index: 1}, by: 2},
		"an entry more is here":      {said: here, by: 2, do: func(f *follower) { f.mustStep(f.append(2, nil, f.entry(1, ""))); f.turns() }},
		"the leader was given up":    {said: here, by: 2, do: func(f *follower) { _ = f.ForgetLeader(); f.turns() }},
		"not all of it is committed": {said: Sleep{Term: 2, Index: 3}, by: 2, do: func(f *follower) { f.mustStep(f.append(2, nil, f.entry(1, ""))); f.turns() }},
		"a payload is being fetched": {said: here, by: 2, do: func(f *follower) { f.mustStep(f.append(2, nil, f.entry(1, "p"))); f.turns() }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollower(t)
			f.mustStep(f.append(2, nil))
			f.turns()
			if c.do != nil {
				c.do(f)
			}
			if got := f.Agree(f.table.members.PeerOf(c.by), c.said); got != c.want || f.Asleep() != c.want {
				t.Fatalf("agrees: %v, asleep: %v", got, f.Asleep())
			}
			if _, leads := f.Resting(); leads {
				t.Error("a follower rests as if it led")
			}
			if !c.want {
				return
			}
			heartbeat := f.message(pb.MsgHeartbeat)
			f.mustStep(heartbeat)
			if f.Asleep() {
				t.Error("the leader's heartbeat does not wake it")
			}
		})
	}
}
