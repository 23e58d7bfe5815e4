package replicatest

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const (
	// listTries is how often a client asks for a listing before it does something else.
	listTries = 3
	// pushTries is how often a client in a storm sends a transaction before it gives up.
	pushTries = 8
)

// client is one person with one key, who does one thing after another.
type client struct {
	s      *Sim
	number int
	key    identity.Key
	// spare takes the place of key when that is revoked.
	spare identity.Key
	seen  Listing
	// past are objects that some listing named.
	past   []string
	target int
	// busy: it waits for an answer.
	busy bool
	// pushes still to be made when all is calm.
	pushes int
}

func newClient(s *Sim, number int, key identity.Key) *client {
	return &client{s: s, number: number, key: key, spare: s.key(), seen: Listing{Index: 1, Refs: map[string]string{}, Head: Names[0]}}
}

// think waits, and then does something.
func (c *client) think() {
	c.busy = false
	c.s.after(c.s.between(5*time.Millisecond, 200*time.Millisecond)+max(0, c.s.quietUntil-c.s.now), func() {
		switch {
		case c.s.calm && c.pushes == 0:
		case c.s.calm:
			c.pushes--
			c.busy = true
			c.list(1, c.push)
		case c.s.chance(c.s.faults.Hot):
			c.busy = true
			c.push()
		default:
			c.busy = true
			c.list(1, func() {
				if c.s.chance(0.7) {
					c.push()
				} else {
					c.think()
				}
			})
		}
	})
	if c.pushes > 0 {
		c.busy = true
	}
}

// list reads the refs from any member.
func (c *client) list(try int, then func()) {
	s, m := c.s, c.s.anyone()
	began, floor, over := s.now, s.ledger.floor, false
	s.exchange(m, func(reply func(func())) {
		m.takeRead(&read{reply: func(l Listing) {
			reply(func() {
				if over {
					return
				}
				over = true
				s.ledger.listed(l, floor)
				s.history.listed(l, began, s.now)
				c.see(l)
				then()
			})
		}})
	})
	s.after(s.between(500*time.Millisecond, 1500*time.Millisecond), func() {
		switch {
		case over:
			return
		case try < listTries || s.calm:
			c.list(try+1, then)
		default:
			c.think()
		}
		over = true
	})
}

// exchange carries a request to a member and its answer back, or loses one of them.
func (s *Sim) exchange(m *member, ask func(reply func(func()))) {
	if !s.calm && s.chance(s.faults.LostReply) {
		return
	}
	lost := !s.calm && s.chance(s.faults.LostReply)
	s.after(s.latency(), func() {
		m.post(func() {
			ask(func(deliver func()) {
				if !lost && !m.rot.rotten { // what it says is not held against the promises
					s.after(s.latency(), deliver)
				}
			})
		})
	})
}

// attempt is a transaction that a client wants to see through.
type attempt struct {
	*client
	r     *request
	began time.Duration
	floor uint64
	tries int
	// round is the try that is being waited for.
	round int
	done  bool
}

func (c *client) push() {
	a := &attempt{client: c, r: c.request(), began: c.s.now, floor: c.s.ledger.floor}
	a.send()
}

func (c *client) see(l Listing) {
	c.seen = l
	for _, name := range slices.Sorted(maps.Keys(l.Refs)) {
		if oid := l.Refs[name]; len(c.past) == 0 || c.past[len(c.past)-1] != oid {
			c.past = append(c.past, oid)
		}
	}
}

// recall has a client name an object that it once saw listed, as if it were still
// there. A leader must not take its word.
func (c *client) recall(tx *wire.Transaction, known map[string]bool) {
	u := tx.GetOperations()[0].GetRefUpdate()
	if len(c.past) == 0 || len(u.GetNew()) == 0 || !c.s.chance(0.1) {
		return
	}
	oid := c.past[c.s.rng.IntN(len(c.past))]
	u.New, known[oid] = []byte(oid), true
}

// request makes up and signs a transaction.
func (c *client) request() *request {
	if replica.AccessIn(c.seen.Policy, c.key.Public()) == wire.Access_ACCESS_REVOKED {
		c.key, c.spare = c.spare, c.s.key()
	}
	d := Draw{Rand: c.s.rng, Genesis: c.s.genesis, Odd: 0.02, LockMillis: 800, Settings: c.s.drawSettings(), Keys: c.s.mortals()}
	r := &request{tx: d.Transaction(c.key.Public(), c.seen), signer: c.key.Public()}
	known := map[string]bool{}
	for _, oid := range c.seen.Refs {
		known[oid] = true
	}
	c.recall(r.tx, known)
	if d.Settings != nil && c.number == 0 && c.s.chance(0.08) {
		r.tx.Operations = []*wire.Operation{d.configure(c.seen)} // the owner
		r.tx.Operations[0].GetConfigure().Configuration = c.s.drawConfirmed()
	}
	if c.number == 0 && c.s.chance(0.1) {
		r.tx.Operations = append(r.tx.Operations, d.ChangePolicy(c.seen))
	}
	// Somebody has another key, or the owner sees to it.
	if who := c.s.clients[1+c.s.rng.IntN(len(c.s.clients)-1)]; c.s.chance(0.02) && (c.number == 0 || c == who) {
		d.Keys, d.Spare = []identity.PublicKey{who.key.Public()}, []identity.Key{who.spare}
		r.tx.Operations = append(r.tx.Operations, d.ReplaceKey(c.seen))
	}
	if c.s.chance(0.01) {
		d.Mangle(r.tx)
	}
	signed, err := replica.Seal(c.key, identity.DomainTransaction, r.tx)
	if err != nil {
		panic(fmt.Sprintf("replicatest: sign: %v", err)) // it is made up here
	}
	r.signed = signed
	for _, oid := range newOIDs(r.tx) {
		if !known[oid] {
			r.brings = brings(1 + c.s.rng.IntN(2))
		}
	}
	return r
}

// send tries once, and again when nothing comes back.
func (a *attempt) send() {
	s := a.s
	a.tries++
	a.round++
	round := a.round
	m := s.members[a.target]
	s.exchange(m, func(reply func(func())) {
		m.takePush(a.r, func(got answer) {
			reply(func() { a.take(got, round) })
		})
	})
	s.after(s.between(200*time.Millisecond, 2*time.Second), func() {
		if !a.done && round == a.round {
			a.target = s.anyone().number
			a.again()
		}
	})
}

func (a *attempt) again() {
	if !a.s.calm && a.tries >= pushTries {
		a.giveUp()
		return
	}
	a.send()
}

// giveUp leaves open what became of the transaction.
func (a *attempt) giveUp() {
	a.done = true
	a.s.history.gaveUp(a.r, a.began)
	a.think()
}

// take takes an answer; one that came late counts as well, if it says anything.
func (a *attempt) take(got answer, round int) {
	s := a.s
	switch {
	case a.done:
	case got.outcome != nil:
		a.done = true
		s.note(-1, "outcome", uint64(a.number), got.outcome.GetIndex(), uint64(got.outcome.GetResult().GetCode()))
		s.ledger.acknowledge(a.r, got.outcome, a.floor)
		s.history.pushed(a.r, got.outcome, a.began, s.now)
		a.think()
	case got.refused.GetCode() == wire.Code_CODE_NOT_ALLOWED && a.tries > 1:
		a.giveUp() // an earlier try may be allowed yet, when it arrives
	case got.refused != nil:
		a.done = true
		s.note(-1, "refused", uint64(a.number), uint64(got.refused.GetCode()))
		s.ledger.refuse(a.r)
		a.think()
	case got.missing && a.tries >= pushTries:
		s.stats.Missing++
		a.giveUp()
	case got.behind && a.tries >= pushTries:
		a.giveUp()
	case round == a.round:
		a.round++ // its timeout is off
		a.target = s.anyone().number
		for _, m := range s.members {
			if m.peer == got.leader {
				a.target = m.number
			}
		}
		s.after(s.between(10*time.Millisecond, 150*time.Millisecond), func() {
			if !a.done {
				a.again()
			}
		})
	}
}

// refuse notes that a client was told that nothing was changed and nothing will be.
func (l *ledger) refuse(r *request) {
	key := stageKey(r.signer[:], r.tx.GetId())
	if e := l.entry(l.decided[key]); e != nil && e.outcome.GetResult().GetCode() == wire.Code_CODE_OK {
		l.s.fail("refused", "a client was refused the transaction that is entry %d", l.decided[key])
	}
	l.refused[key] = true
}
