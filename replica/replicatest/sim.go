package replicatest

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const (
	tick = 100 * time.Millisecond
	// settleTime is how long a group may take to come to rest once nothing breaks
	// any more: elections, snapshots, hand-over and clients' patience included.
	settleTime = 60 * time.Second
	settleLook = 50 * time.Millisecond
	// eventsMax ends a run that goes in circles; an honest one takes some ten thousand.
	eventsMax = 1_000_000
	// lastTries is how many pushes must succeed after everything crashed.
	lastTries = 2
)

// Sim is one seeded run of a group and its clients.
type Sim struct {
	clock
	trace
	faults  Faults
	rng     *rand.Rand
	rules   replica.Rules
	genesis *replica.Genesis
	members []*member
	clients []*client
	cut     map[[2]int]int // messages from, to get lost: for how many reasons
	// calm: nothing breaks any more.
	calm bool
	// quietUntil is until when clients begin nothing new.
	quietUntil time.Duration
	// meddling: see meddle. frozen: members don't change any more.
	meddling, frozen bool
	ledger           ledger
	history          history
	violation        error
	stats            Stats
}

// Stats says what a run saw, so that a test can tell that it saw something.
type Stats struct {
	Entries, Acknowledged, Refused, Reads, Repeats int
	Leaders, Crashes, Snapshots, Fetches, Cuts     int
	Torn                                           int // turns of which a part was saved
	Silences, Sleeps                               int
	Rotten, Left                                   int
	Collects, Pruned, Missing                      int
	Policies, Forwarded, Forced, Revoked           int
	Receipts, NoReceipts                           int
	Members                                        MemberStats
}

// A Violation is a promise that was broken.
type Violation struct {
	Check, Detail string
	At            time.Duration
}

func (v *Violation) Error() string { return fmt.Sprintf("%s (at %s): %s", v.Check, v.At, v.Detail) }

// fail ends the run at the first violation.
func (s *Sim) fail(check, format string, args ...any) {
	if s.violation == nil {
		s.violation = &Violation{Check: check, Detail: fmt.Sprintf(format, args...), At: s.now}
	}
}

// Rules are those of the simulation: enough to refuse something.
var Rules = replica.Rules{RefsMax: 3, CheckRefName: func(name string) error {
	if !strings.HasPrefix(name, "refs/") || strings.HasPrefix(name, "refs/peer/") || strings.Contains(name, "..") || len(name) > 200 {
		return fmt.Errorf("ref name %.100q is refused", name)
	}
	return nil
}}

// New founds a group.
func New(seed uint64, f Faults) *Sim {
	s := &Sim{faults: f, rng: rand.New(rand.NewPCG(seed, 1)), rules: Rules, cut: map[[2]int]int{}}
	keys := make([]identity.Key, f.Members+f.Spares)
	for i := range keys {
		keys[i] = s.key()
	}
	founding := &wire.Genesis{Name: "sim", ObjectFormat: replica.SHA1, DefaultBranch: Names[0], Policy: &wire.Policy{Version: 1}}
	for i, raftID := range s.rng.Perm(f.Members) {
		founding.Members = append(founding.Members, &wire.Member{
			RaftId: uint64(raftID + 1), Peer: []byte(keys[i].PeerID()), Nonce: make([]byte, replica.NonceBytes),
		})
	}
	owner := s.key()
	for i := range f.Clients {
		c := newClient(s, i, owner)
		if i > 0 {
			c.key = s.key()
		}
		// The last one may not write.
		if public := c.key.Public(); i > 0 && (i < f.Clients-1 || f.Clients < 4) {
			founding.Policy.Writers = append(founding.Policy.Writers, public[:])
		}
		s.clients = append(s.clients, c)
	}
	genesis, err := replica.NewGenesis(owner, founding)
	if err != nil {
		panic(fmt.Sprintf("replicatest: genesis: %v", err)) // it is made up here
	}
	s.genesis = genesis
	s.ledger = newLedger(s)
	for i, key := range keys {
		s.members = append(s.members, newMember(s, i, key))
	}
	s.anyone().slow = f.Sluggish
	return s
}

// mortals are the keys whose role may change: all clients' but that of the first,
// who owns the repository to the end.
func (s *Sim) mortals() (keys []identity.PublicKey) {
	for _, c := range s.clients[1:] {
		keys = append(keys, c.key.Public())
	}
	return keys
}

func (s *Sim) key() identity.Key {
	var seed [32]byte
	copy(seed[:], s.bytes(len(seed)))
	return identity.KeyFromSeed(seed)
}

func (s *Sim) bytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(s.rng.Uint32())
	}
	return b
}

func (s *Sim) chance(p float64) bool { return p > 0 && s.rng.Float64() < p }

// between draws a time in [from, to).
func (s *Sim) between(from, to time.Duration) time.Duration {
	return from + time.Duration(s.rng.Int64N(int64(to-from)))
}

// Run runs the storm, then looks whether everything comes to rest. The error,
// if any, is the first [*Violation].
func (s *Sim) Run() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &Violation{Check: "panic", Detail: fmt.Sprintf("%v\n%s", p, debug.Stack()), At: s.now}
		}
	}()
	for _, m := range s.members {
		s.after(s.between(0, 50*time.Millisecond), m.start)
	}
	for _, c := range s.clients {
		c.think()
	}
	s.after(s.faults.Every, s.storm)
	if s.faults.Rot > 0 {
		s.after(s.faults.Storm/3, s.rotSome)
	}
	s.after(s.faults.Collect, s.maintain)
	s.until(s.faults.Storm, func() bool { return false })
	s.clear()
	for _, m := range s.members {
		m.restart(s.between(0, 300*time.Millisecond))
	}
	s.settle("after the storm")
	s.frozen = true
	s.slumber()
	s.lastStand()
	s.final()
	return s.violation
}

// until runs events for a time, or until it is enough.
func (s *Sim) until(length time.Duration, enough func() bool) bool {
	end, look := s.now+length, s.now
	for s.violation == nil && s.now < end && len(s.queue) > 0 {
		if s.order > eventsMax {
			s.fail("end", "more than %d events", eventsMax)
		}
		s.next()
		if s.now >= look {
			if look = s.now + settleLook; enough() {
				return true
			}
		}
	}
	return false
}

// settle waits for rest: every member that may run holds the same, nobody waits
// for an answer, and the preferred member leads.
func (s *Sim) settle(when string) {
	var reason error
	if !s.until(settleTime, func() bool { reason = s.unrest(); return reason == nil }) && s.violation == nil {
		s.fail("convergence", "no rest %s: %v", when, reason)
	}
}

// unrest says what is not at rest yet.
func (s *Sim) unrest() error {
	for _, c := range s.clients {
		if c.busy {
			return fmt.Errorf("client %d waits for an answer", c.number)
		}
	}
	if err := s.membersUnrest(); err != nil {
		return err
	}
	var best identity.PeerID
	index := uint64(0)
	for _, m := range s.participants() {
		switch {
		case m.group == nil || m.saving || m.needing:
			return fmt.Errorf("member %d is down or at work", m.number)
		case m.rot.inquiring && len(s.participants()) > s.ledger.confs.last().Quorum(): // enough are there to say
			return fmt.Errorf("member %d still asks whose table is damaged", m.number)
		case index != 0 && m.disk.last() != index:
			return fmt.Errorf("member %d has entries up to %d, others to %d", m.number, m.disk.last(), index)
		}
		index = m.disk.last()
		if state := m.group.State(); state.Applied != index || m.disk.published != index {
			return fmt.Errorf("member %d applied %d and published %d of %d", m.number, state.Applied, m.disk.published, index)
		}
		best = max(best, m.peer)
	}
	for _, m := range s.participants() {
		if leader := m.group.State().Leader; leader != best {
			return fmt.Errorf("member %d follows %s, not the highest in sync, %s", m.number, leader, best)
		}
	}
	return nil
}

// participants are the members that may run now.
func (s *Sim) participants() []*member {
	return slices.DeleteFunc(slices.Clone(s.members), func(m *member) bool {
		return m.seat.RaftID == 0 || m.destroyed || m.heldBack || m.rot.left
	})
}

// lastStand has everybody crash, and a majority come back: what was
// acknowledged must be known to it, and it must take pushes.
func (s *Sim) lastStand() {
	if s.violation != nil {
		return
	}
	for _, m := range s.members {
		m.crash("crash of all")
	}
	rest := s.participants()
	s.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	for i, m := range rest {
		m.heldBack = i >= s.ledger.confs.last().Quorum()
		m.restart(s.between(0, 300*time.Millisecond))
	}
	c := s.clients[0]
	c.pushes = lastTries
	c.think()
	s.settle("after a crash of all")
}

// final compares all that is there with all that was promised.
func (s *Sim) final() {
	if s.violation != nil {
		return
	}
	var first []byte
	for _, m := range s.participants() {
		if m.rot.rotten {
			continue // too few were there to tell it so
		}
		live := encode(m.group.Table().Snapshot())
		stored, err := replica.LoadTable(m.disk.scan, s.rules)
		if err != nil {
			s.fail("durable table", "member %d: %v", m.number, err)
			return
		}
		if string(encode(stored.Snapshot())) != string(live) {
			s.fail("durable table", "member %d has another table on its disk than in its memory", m.number)
		}
		if first == nil {
			first = live
		}
		if string(first) != string(live) {
			s.fail("same table", "member %d has another table than the others", m.number)
		}
		s.ledger.checkKept(m)
	}
	s.stats.Entries = len(s.ledger.log)
}

// Stats says what the run saw.
func (s *Sim) Stats() Stats { return s.stats }

// Add adds up what several runs saw.
func (t *Stats) Add(s Stats) {
	t.Entries += s.Entries
	t.Acknowledged += s.Acknowledged
	t.Refused += s.Refused
	t.Reads += s.Reads
	t.Repeats += s.Repeats
	t.Leaders += s.Leaders
	t.Crashes += s.Crashes
	t.Snapshots += s.Snapshots
	t.Fetches += s.Fetches
	t.Torn += s.Torn
	t.Cuts += s.Cuts
	t.Silences += s.Silences
	t.Sleeps += s.Sleeps
	t.Rotten += s.Rotten
	t.Left += s.Left
	t.Collects += s.Collects
	t.Pruned += s.Pruned
	t.Missing += s.Missing
	t.Policies += s.Policies
	t.Revoked += s.Revoked
	t.Forwarded += s.Forwarded
	t.Forced += s.Forced
	t.Receipts += s.Receipts
	t.NoReceipts += s.NoReceipts
	t.Members.add(s.Members)
}
