package node

import (
	"fmt"
	"sync"
	"time"

	"peer/identity"
	"peer/wire"
)

// crowd admits sessions up to a limit. Of a stranger there are no more than a share,
// nor, since keys cost nothing, of all strangers together.
type crowd struct {
	mu           sync.Mutex
	all, strange int
	of           map[visitor]int
}

// visitor is whom a session counts against: a person with a role, by their key, or a
// stranger, by the node that they come from. The zero visitor counts against all alone.
type visitor struct {
	user identity.PublicKey
	from identity.PeerID
	// stranger says that there is no role. One that a member brings has no from: it
	// relays for many.
	stranger bool
}

// enter gives a place to a session. leave gives it back.
func (c *crowd) enter(v visitor) (leave func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	alone := v == visitor{} || v == visitor{stranger: true}
	full := ""
	switch {
	case c.all >= sessionsMax, v != visitor{} && c.all >= sessionsMax-sessionsOwn:
		full = fmt.Sprintf("the node serves %d sessions already", c.all)
	case v.stranger && c.strange >= sessionsStrange:
		full = fmt.Sprintf("the node serves %d sessions of people without a role already", sessionsStrange)
	case !alone && c.of[v] >= sessionsEach:
		full = fmt.Sprintf("the node serves %d sessions of yours already", sessionsEach)
	}
	if full != "" {
		return nil, failure(wire.FailureCode_FAILURE_BUSY, full, "nothing was changed; try again in a moment")
	}
	c.count(v, 1)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.count(v, -1)
	}, nil
}

// count adds to what there is of a visitor. The caller holds mu.
func (c *crowd) count(v visitor, by int) {
	c.all += by
	if v.stranger {
		c.strange += by
	}
	if c.of[v] += by; c.of[v] == 0 {
		delete(c.of, v)
	}
}

// admit gives a session its place, once its hello has said whose it is: until then a
// stream costs little, and the transport bounds them. Those of this node's own user and
// of fellow members are not counted against a share. Whoever has a role here may
// have more sessions than that, from many machines: these count as strangers'.
func (s *session) admit(from identity.PeerID, relayed bool) (leave func(), err error) {
	fellow := s.n.near.get(from) != nil
	if from == s.n.self || fellow && !relayed {
		return s.n.sessions.enter(visitor{})
	}
	if s.isKnown() {
		if leave, err := s.n.sessions.enter(visitor{user: s.user}); err == nil {
			return leave, nil
		}
	}
	if fellow {
		from = ""
	}
	return s.n.sessions.enter(visitor{from: from, stranger: true})
}

// isKnown says whether the user of a session is this node's, has a role in the
// repository, or is a member.
func (s *session) isKnown() bool {
	_, member := s.g.members().Member(s.user.PeerID())
	return member || s.user == s.n.cfg.User.Public() || s.role() >= wire.Access_ACCESS_READER
}

// role is what the policy gives to the user of a session, as of the last entry applied.
func (s *session) role() wire.Access { return (*s.g.roles.Load())(s.user) }

// patience is how long a session may rest: a push that will be refused not for as
// long as hooks may run.
func (s *session) patience() time.Duration {
	if s.hello.GetIntent() == wire.Intent_INTENT_PUSH && s.role() < wire.Access_ACCESS_WRITER {
		return requestTimeout
	}
	return hookTimeout
}
