package replica

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"peer/identity"
	"peer/wire"
)

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
		w.Membership = w.Membership.Become(p.Voters).settled(0, nil)
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
