package replica

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
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

// world is a network of nodes, as plain as can be: newcomers catch up, changes
// get through, and the leader knows who is there.
type world struct {
	rng   *rand.Rand
	nodes []uint64 // their numbers, which are those of seatKey
	// dead nodes do not answer; wiped ones lost what they had, but for later seats.
	dead  map[uint64]bool
	wiped map[uint64]uint64 // up to which seat
	Situation
}

func newWorld(t testing.TB, seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 3)), dead: map[uint64]bool{}, wiped: map[uint64]uint64{}}
	w.Situation = parseSituation(t, "1 2 3", "")
	for n := uint64(1); n <= uint64(3+w.rng.IntN(7)); n++ {
		w.nodes = append(w.nodes, n)
	}
	w.draw()
	return w
}

// draw has the owner want something else.
func (w *world) draw() {
	settings := &wire.Settings{Replicas: []uint32{0, 1, 3, 5, 7}[w.rng.IntN(5)], GraceMs: int64(w.rng.IntN(3)-1) * 5000}
	for _, n := range w.nodes {
		switch w.rng.IntN(8) {
		case 0:
			settings.On = append(settings.On, rawPeers(n)...)
		case 1:
			settings.Off = append(settings.Off, rawPeers(n)...)
		}
	}
	w.Settings = settings
}

func (w *world) numberOf(p identity.PeerID) uint64 {
	at := slices.IndexFunc(w.nodes, func(n uint64) bool { return peerOf(n) == p })
	return w.nodes[at]
}

// look is what the leader finds.
func (w *world) look() {
	w.Candidates = nil
	for _, n := range w.nodes {
		m, has := w.Membership.Member(peerOf(n))
		if !w.dead[n] && (!has || m.RaftID <= w.wiped[n]) {
			w.Candidates = append(w.Candidates, peerOf(n))
		}
	}
	for _, m := range w.Membership.Members {
		seen, n := w.Seats[m.RaftID], w.numberOf(m.Peer)
		newest, _ := w.Membership.Member(m.Peer)
		seen.Lost = !w.dead[n] && m.RaftID <= w.wiped[n] || newest.RaftID != m.RaftID
		seen.Active = !w.dead[n] && !seen.Lost
		switch {
		case seen.Active:
			seen.Match, seen.GoneMillis = planCommit, 0
		case w.dead[n]:
			seen.GoneMillis += 3_600_000
		}
		w.Seats[m.RaftID] = seen
	}
}

// step plans and does it.
func (w *world) step() (Plan, error) {
	w.look()
	p := PlanMembers(w.Situation)
	if again := PlanMembers(w.Situation); !reflect.DeepEqual(p, again) {
		return p, fmt.Errorf("%s, then %s", p.spell(), again.spell())
	}
	if err := checkPlan(w.Situation, p); err != nil {
		return p, fmt.Errorf("%s: %s: %w", w.Membership.spell(), p.spell(), err)
	}
	switch p.Do {
	case Admit:
		w.Membership = w.Membership.Admit(p.Peer, make([]byte, NonceBytes), nil)
	case Drop:
		w.Membership = w.Membership.Drop(p.Seat)
	case Become:
		w.Membership = w.Membership.Become(p.Voters).settled(0)
		if _, stays := w.Membership.Seat(w.Self); !stays {
			w.Self = w.Membership.Voters()[0].RaftID
		}
	case HandOver:
		m, _ := w.Membership.Member(p.Peer)
		w.Self = m.RaftID
	}
	return p, nil
}

// harm kills, revives or wipes a node, as long as a majority of the voters is there.
func (w *world) harm() {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if self, _ := w.Membership.Seat(w.Self); self.Peer == peerOf(n) {
		return
	}
	before, wiped := maps.Clone(w.dead), w.wiped[n]
	delete(w.dead, n)
	if w.rng.IntN(2) == 0 {
		w.dead[n] = true
	}
	if w.rng.IntN(3) == 0 {
		w.wiped[n] = w.Membership.NextRaftID - 1
	}
	w.look()
	if !w.Membership.HasQuorum(func(m Member) bool { return w.active(m.RaftID) }) {
		w.dead, w.wiped[n] = before, wiped
	}
}

// atRest says how a group that has nothing more to do is not as it should be.
func (w *world) atRest() error {
	able, voters := 0, len(w.Membership.Voters())
	for _, n := range w.nodes {
		if !w.dead[n] && !w.named(w.Settings.GetOff(), peerOf(n)) {
			able++
		}
	}
	bad := 0 // seats that should go
	for _, m := range w.Membership.Members {
		if m.Role != Voter {
			return fmt.Errorf("seat %s is still there", spell1(m))
		}
		if w.shouldGo(m) {
			bad++
		}
	}
	switch want := w.want(); {
	case voters%2 == 0 || voters > want:
		return fmt.Errorf("%d voters, want %d", voters, want)
	case able >= want && (voters != want || bad > 0):
		return fmt.Errorf("%d voters of which %d should go, want %d; %d nodes are able", voters, bad, want, able)
	case able < want && voters+1 < able:
		return fmt.Errorf("%d voters, and %d nodes are able", voters, able)
	}
	return nil
}

// stepsMax is enough for any change: each seat comes, goes, and the lead changes.
const stepsMax = 40

// TestPlansConverge harms a group and changes its owner's mind, step by step,
// and then lets it come to rest.
func TestPlansConverge(t *testing.T) {
	did := map[Do]int{}
	for seed := range uint64(1000) {
		w := newWorld(t, seed)
		run := func(do func() bool) {
			for do() {
				p, err := w.step()
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				did[p.Do]++
			}
		}
		for range w.rng.IntN(30) {
			if w.rng.IntN(3) == 0 {
				w.harm()
			}
			if w.rng.IntN(10) == 0 {
				w.draw()
			}
			steps := 0
			run(func() bool { steps++; return steps < 2 })
		}
		if seed%3 != 0 {
			clear(w.dead) // everybody comes back
		}
		for steps := 0; ; steps++ {
			p, err := w.step()
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if p.Do == Keep && (w.atRest() == nil || w.grace() < 0 && len(w.dead) > 0) {
				break // the owner said to wait for those that are gone
			}
			if steps == stepsMax {
				t.Fatalf("seed %d: no rest with %s: %s (%s): %v\n%+v", seed, w.Membership.spell(), p.spell(), p.Why, w.atRest(), w.Settings)
			}
		}
	}
	for _, do := range []Do{Keep, Admit, Drop, Become, HandOver} {
		if did[do] < 50 {
			t.Errorf("plan %d was made %d times", do, did[do])
		}
	}
	t.Log(did)
}
