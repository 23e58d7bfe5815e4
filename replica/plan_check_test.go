package replica

import (
	"fmt"
	"slices"
)

// checkPlan holds a plan against what plans promise, in plain words.
func checkPlan(s Situation, p Plan) error {
	active := func(id uint64) bool { return id == s.Self || s.Seats[id].Active }
	if p.Do != Keep {
		if s.Membership.Joint() || !s.Membership.HasQuorum(func(m Member) bool { return active(m.RaftID) }) {
			return fmt.Errorf("a step without a majority, or while one is under way")
		}
		if p.Why == "" {
			return fmt.Errorf("a step without a reason")
		}
	}
	seat, has := s.Membership.Member(p.Peer)
	switch p.Do {
	case Admit:
		if !slices.Contains(s.Candidates, p.Peer) || s.named(s.Settings.GetOff(), p.Peer) || has && !s.Seats[seat.RaftID].Lost {
			return fmt.Errorf("%s can't be admitted", p.Peer)
		}
		if p.Seat != seat.RaftID {
			return fmt.Errorf("it takes the place of seat %d, want %d", p.Seat, seat.RaftID)
		}
		return s.Membership.checkNext(s.Membership.Admit(p.Peer, make([]byte, NonceBytes), nil))
	case Drop:
		return s.Membership.checkNext(s.Membership.Drop(p.Seat))
	case HandOver:
		if !has || seat.Role != Voter || seat.RaftID == s.Self || !active(seat.RaftID) || s.Seats[seat.RaftID].Match < s.Commit {
			return fmt.Errorf("%s can't lead", p.Peer)
		}
	case Become:
		return checkBecome(s, p, active)
	}
	return nil
}

func checkBecome(s Situation, p Plan, active func(uint64) bool) error {
	next, able, old := s.Membership.Become(p.Voters), 0, 0
	for _, id := range p.Voters {
		m, ok := s.Membership.Seat(id)
		if !ok {
			return fmt.Errorf("seat %d votes, which is not there", id)
		}
		if m.Role == Learner && (!active(id) || s.Seats[id].Match+caughtUp < s.Commit) {
			return fmt.Errorf("learner %d votes, which has not caught up", id)
		}
		if active(id) {
			able++
		}
		if m.Role == Voter {
			old++
		}
	}
	wanted := int(s.Settings.GetReplicas())
	if wanted == 0 {
		wanted = s.Founders
	}
	switch before := len(s.Membership.Voters()); {
	case able <= len(p.Voters)/2:
		return fmt.Errorf("%d of %d voters are there", able, len(p.Voters))
	case len(p.Voters) < min(wanted, before):
		return fmt.Errorf("%d voters, with %d before and %d wanted", len(p.Voters), before, wanted)
	case len(p.Voters) > wanted && len(p.Voters) >= before:
		return fmt.Errorf("%d voters, with %d wanted", len(p.Voters), wanted)
	case old > 0 && !slices.Contains(p.Voters, s.Self):
		return fmt.Errorf("the leader leaves, and others stay")
	}
	return s.Membership.checkNext(next)
}
