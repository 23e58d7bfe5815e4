package replica

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"peer/identity"
	"peer/wire"
)

const planCommit = 1000

// parseSituation reads what seats look like to the leader: 3:away is not heard
// and may come back, 3:dead is gone for longer than the grace, 3:lost answers
// without its disk, 4:slow is far behind, 4:stalled for hours, 2:self leads instead
// of the first one.
func parseSituation(t testing.TB, members, looks string) Situation {
	t.Helper()
	ms := parseMembership(t, members)
	s := Situation{
		Membership: ms, Settings: &wire.Settings{}, Founders: 3, Self: ms.Members[0].RaftID,
		Commit: planCommit, Seats: map[uint64]Seen{},
	}
	for _, m := range ms.Members {
		s.Seats[m.RaftID] = Seen{Match: planCommit, Active: true}
	}
	for _, look := range strings.Fields(looks) {
		id, how := uint64(0), ""
		if _, err := fmt.Sscanf(strings.ReplaceAll(look, ":", " "), "%d %s", &id, &how); err != nil {
			t.Fatal(err)
		}
		switch how {
		case "away":
			s.Seats[id] = Seen{Match: 500, GoneMillis: 60_000}
		case "dead":
			s.Seats[id] = Seen{Match: 500, GoneMillis: DefaultGraceMillis + 1000}
		case "lost":
			s.Seats[id] = Seen{Match: 500, Lost: true}
		case "slow":
			s.Seats[id] = Seen{Match: planCommit - caughtUp - 1, Active: true}
		case "near":
			s.Seats[id] = Seen{Match: planCommit - caughtUp, Active: true}
		case "stalled":
			s.Seats[id] = Seen{Match: 500, Active: true, StalledMillis: stallMillis + 1}
		case "self":
			s.Self = id
		default:
			t.Fatal(how)
		}
	}
	return s
}

func (p Plan) spell() string {
	number := func() string {
		for n := uint64(1); n < 20; n++ {
			if peerOf(n) == p.Peer {
				return fmt.Sprint(n)
			}
		}
		return "?"
	}
	switch p.Do {
	case Admit:
		if p.Seat != 0 {
			return fmt.Sprintf("admit %s for seat %d", number(), p.Seat)
		}
		return "admit " + number()
	case Drop:
		return fmt.Sprintf("drop %d", p.Seat)
	case Become:
		return "become " + strings.Trim(fmt.Sprint(slices.Sorted(slices.Values(p.Voters))), "[]")
	case HandOver:
		return "hand over to " + number()
	}
	return "keep"
}

// peerOf is the node of seatKey.
func peerOf(n uint64) identity.PeerID {
	if n >= uint64(len(seatPeers)) {
		return ""
	}
	return seatPeers[n]
}

var seatPeers = func() (list [20]identity.PeerID) {
	for n := range list {
		list[n] = seatKey(uint64(n)).PeerID()
	}
	return list
}()

func peersOf(numbers ...uint64) (list []identity.PeerID) {
	for _, n := range numbers {
		list = append(list, peerOf(n))
	}
	return list
}

func rawPeers(numbers ...uint64) (list [][]byte) {
	for _, p := range peersOf(numbers...) {
		list = append(list, []byte(p))
	}
	return list
}

// TestPlanMembers asks for one step in each situation.
func TestPlanMembers(t *testing.T) {
	on := func(n ...uint64) *wire.Settings { return &wire.Settings{On: rawPeers(n...)} }
	off := func(n ...uint64) *wire.Settings { return &wire.Settings{Off: rawPeers(n...)} }
	replicas := func(n uint32) *wire.Settings { return &wire.Settings{Replicas: n} }
	for _, c := range []struct {
		why            string
		members, looks string
		settings       *wire.Settings
		candidates     []uint64
		want           string
	}{
		{"all is well", "1 2 3", "", nil, []uint64{8, 9}, "keep"},
		{"a change is under way", "1 2 3- 4+", "3:dead", nil, []uint64{8}, "keep"},
		{"no majority", "1 2 3", "2:dead 3:dead", nil, []uint64{8, 9}, "keep"},
		{"no majority, and newcomers ready", "1 2 3 4? 5?", "2:dead 3:dead", nil, nil, "keep"},
		{"learners are no majority", "1 2 3 4?", "2:away 3:away", nil, nil, "keep"},

		{"away, but not for long", "1 2 3", "3:away", nil, []uint64{8}, "keep"},
		{"dead", "1 2 3", "3:dead", nil, []uint64{8, 9}, "admit 8"},
		{"dead, nobody else is there", "1 2 3", "3:dead", nil, nil, "keep"},
		{"dead, a newcomer far behind", "1 2 3 4?", "3:dead 4:slow", nil, []uint64{9}, "keep"},
		{"dead, a newcomer near", "1 2 3 4?", "3:dead 4:near", nil, []uint64{9}, "become 1 2 4"},
		{"dead, and back in time", "1 2 3 4?", "", nil, []uint64{9}, "drop 4"},
		{"dead, a newcomer that sleeps", "1 2 3 4?", "3:dead 4:away", nil, []uint64{9}, "keep"},
		{"dead, a newcomer that died too", "1 2 3 4?", "3:dead 4:dead", nil, []uint64{9}, "drop 4"},
		{"dead, a newcomer that gets nothing further", "1 2 3 4?", "3:dead 4:stalled", nil, []uint64{9}, "drop 4"},
		{"dead, a newcomer that lost its seat", "1 2 3 4?", "3:dead 4:lost", nil, []uint64{9}, "drop 4"},
		{"two of five dead, one stands by", "1 2 3 4 5", "4:dead 5:dead", replicas(5), []uint64{8}, "admit 8"},
		{"two of five dead, nobody stands by", "1 2 3 4 5", "4:dead 5:dead", replicas(5), nil, "keep"},
		{"two of five dead, one replaced", "1 2 3 4 5 6?", "4:dead 5:dead", replicas(5), nil, "become 1 2 3 4 6"},

		{"lost, its node stands by", "1 2 3", "3:lost", nil, []uint64{3}, "admit 3 for seat 3"},
		{"lost, another stands by", "1 2 3", "3:lost", nil, []uint64{9}, "admit 9"},
		{"lost, another is first", "1 2 3", "3:lost", nil, []uint64{9, 3}, "admit 9"},
		{"one lost, one dead, one newcomer", "1 2 3 4 5 6?", "4:lost 5:dead", replicas(5), nil, "become 1 2 3 5 6"},
		{"one dead, one lost, one newcomer", "1 2 3 4 5 6?", "4:dead 5:lost", replicas(5), nil, "become 1 2 3 4 6"},
		{"one lost, though named", "1 2 3 4 5 6?", "4:lost 5:dead", &wire.Settings{Replicas: 5, On: rawPeers(4)}, nil, "become 1 2 3 5 6"},
		{"not lost, though it stands by", "1 2 3", "3:dead", nil, []uint64{3}, "keep"},

		{"three to five", "1 2 3", "", replicas(5), []uint64{8, 9}, "admit 8"},
		{"three to five, for one", "1 2 3", "", replicas(5), []uint64{8}, "keep"},
		{"three to five, one learns", "1 2 3 4?", "", replicas(5), []uint64{9}, "admit 9"},
		{"three to five, one is left alone", "1 2 3 4?", "", replicas(5), nil, "drop 4"},
		{"three to five, both learn", "1 2 3 4? 5?", "5:slow", replicas(5), nil, "keep"},
		{"three to five, both have learnt", "1 2 3 4? 5?", "", replicas(5), nil, "become 1 2 3 4 5"},
		{"three to five, and one dies", "1 2 3 4? 5?", "3:dead", replicas(5), nil, "become 1 2 3 4 5"},
		{"three to one", "1 2 3", "2:self", replicas(1), []uint64{9}, "become 2"},
		{"three to one, which is named", "1 2 3", "", &wire.Settings{Replicas: 1, On: rawPeers(3)}, nil, "hand over to 3"},
		{"three to one, which is named and away", "1 2 3", "3:away", &wire.Settings{Replicas: 1, On: rawPeers(3)}, nil, "keep"},
		{"five to three", "1 2 3 4 5", "4:self 1:away", replicas(3), nil, "become 2 3 4"},
		{"five to three, three are away", "1 2 3 4 5", "1:self 2:away 3:away 4:away", replicas(3), nil, "keep"},
		{"five to three, of which two are away", "1 2 3 4 5", "4:away 5:away", &wire.Settings{Replicas: 3, On: rawPeers(4, 5)}, nil, "keep"},
		{"five to three, the longest gone leaves", "1 2 3 4 5", "2:away 3:dead", replicas(3), nil, "become 1 4 5"},
		{"one to three", "1", "", nil, []uint64{8, 9}, "admit 8"},
		{"one to three, both learn", "1 8? 9?", "", nil, nil, "become 1 8 9"},
		{"back to the founders' number", "1 2 3 4 5", "", nil, nil, "become 1 2 3"},

		{"off", "1 2 3", "", off(3), []uint64{8}, "admit 8"},
		{"off, nobody else is there", "1 2 3", "", off(3), nil, "keep"},
		{"off, replaced", "1 2 3 4?", "", off(3), nil, "become 1 2 4"},
		{"off, and not a member", "1 2 3", "3:dead", off(8), []uint64{8}, "keep"},
		{"off, while it learns", "1 2 3 4?", "3:dead", off(4), []uint64{4, 9}, "drop 4"},
		{"the leader is off", "1 2 3 4?", "", off(1), nil, "hand over to 2"},
		{"the leader is off, one is behind", "1 2 3 4?", "2:near", off(1), nil, "hand over to 3"},
		{"the leader is off, all are behind", "1 2 3 4?", "2:near 3:near", off(1), nil, "keep"},
		{"the leader is off and alone", "1 4?", "", &wire.Settings{Replicas: 1, Off: rawPeers(1)}, nil, "become 4"},
		{"named first", "1 2 3", "3:dead", on(9), []uint64{8, 9}, "admit 9"},
		{"named, but all is well", "1 2 3", "", on(9), []uint64{8, 9}, "keep"},
		{"named, so it stays", "1 2 3 4 5", "", &wire.Settings{Replicas: 3, On: rawPeers(4, 5)}, nil, "become 1 4 5"},

		{"a long grace", "1 2 3", "3:dead", &wire.Settings{GraceMs: math.MaxInt64}, []uint64{8}, "keep"},
		{"a short grace", "1 2 3", "3:away", &wire.Settings{GraceMs: 1000}, []uint64{8}, "admit 8"},
		{"a short grace, for learners too", "1 2 3 4?", "3:away 4:away", &wire.Settings{GraceMs: 1000}, nil, "drop 4"},
		{"no grace ends", "1 2 3", "3:dead", &wire.Settings{GraceMs: -1}, []uint64{8}, "keep"},
		{"no grace ends, but for learners", "1 2 3 4?", "3:lost 4:dead", &wire.Settings{GraceMs: -1}, nil, "drop 4"},
		{"no grace ends, but it is lost", "1 2 3", "3:lost", &wire.Settings{GraceMs: -1}, []uint64{8}, "admit 8"},
	} {
		s := parseSituation(t, c.members, c.looks)
		if c.settings != nil {
			s.Settings = c.settings
		}
		s.Candidates = peersOf(c.candidates...)
		plan := PlanMembers(s)
		if plan.spell() != c.want {
			t.Errorf("%s: %s (%s), want %s", c.why, plan.spell(), plan.Why, c.want)
		}
		if err := checkPlan(s, plan); err != nil {
			t.Errorf("%s: %s: %v", c.why, plan.spell(), err)
		}
	}
}
