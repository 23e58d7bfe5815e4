package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"peer/identity"
	"peer/wire"
)

// relayTries is how many leaders in turn a push is brought to.
const relayTries = 3

// errLeaderChanged is why a session that was on its way to a leader ends.
var errLeaderChanged = errors.New("the leader changed")

// push brings the session to the leader, or leads it here. A leader that falls
// silent is given up as soon as the group has another.
func (s *session) push(ctx context.Context, open *wire.OpenSession) error {
	err := errLeaderChanged
	for range relayTries {
		if err = s.pushOnce(ctx, open); !errors.Is(err, errLeaderChanged) {
			return err
		}
	}
	return failure(wire.FailureCode_FAILURE_NOT_LEADER, err.Error()+" again and again", "nothing was changed; push again in a moment")
}

func (s *session) pushOnce(ctx context.Context, open *wire.OpenSession) error {
	if _, problem, err := s.g.state(ctx); err != nil {
		return err
	} else if problem != nil { // what it knew about the leader is old
		return failure(wire.FailureCode_FAILURE_NOT_LEADER, "this replica takes no part in its group: "+withoutPaths(problem), "nothing was changed; push through another replica")
	}
	waiting, cancel := context.WithTimeout(ctx, leaderTimeout+timeoutRoundTrips*s.g.roundTrip())
	defer cancel()
	leader, err := s.g.awaitLeader(waiting)
	if err != nil {
		return s.errNoLeader()
	}
	if leader == s.n.self {
		return s.leadPush(ctx)
	}
	if open.GetRelayed() {
		f := failure(wire.FailureCode_FAILURE_NOT_LEADER, "this replica no longer leads", "push again")
		f.F.Leader = []byte(leader)
		return f
	}
	leading, stop := s.g.whileLeads(ctx, leader)
	defer stop()
	return s.relay(leading, leader, open)
}

// errNoLeader says how many of which replicas answer.
func (s *session) errNoLeader() error {
	var silent []string
	members := s.g.members().Voters()
	for _, m := range members {
		if !s.n.answers(m.Peer) {
			silent = append(silent, m.Peer.String())
		}
	}
	alive, quorum := len(members)-len(silent), s.g.members().Quorum()
	if alive >= quorum {
		return failure(wire.FailureCode_FAILURE_NO_QUORUM,
			fmt.Sprintf("no leader was elected in time, though %d of %d replicas answer", alive, len(members)),
			"nothing was changed; push again in a moment")
	}
	return failure(wire.FailureCode_FAILURE_NO_QUORUM, fmt.Sprintf(
		"no leader: %d of %d replicas answer, a push needs %d; silent: %v", alive, len(members), quorum, silent),
		"nothing was changed; start the silent nodes, then push again")
}

// relay passes the whole session on. The leader sees what the client signed.
// When ctx ends so does the session, or, if the client has heard nothing yet,
// only its way to this leader.
func (s *session) relay(ctx context.Context, leader identity.PeerID, open *wire.OpenSession) error {
	up, welcome, err := s.introduce(ctx, leader, open)
	if errors.Is(context.Cause(ctx), errLeaderChanged) {
		if err == nil {
			_ = up.Reset()
		}
		return errLeaderChanged
	}
	if err != nil {
		s.g.log.Debug("session not passed on", "to", leader, "error", err)
		f := failure(wire.FailureCode_FAILURE_NOT_LEADER, fmt.Sprintf("the leader %s does not answer", leader), "push again in a moment")
		f.F.Leader = []byte(leader)
		return f
	}
	// Both ways may rest while git runs the pusher's hooks.
	down := moving{s.stream, hookTimeout}
	if err := wire.WriteChunk(down, welcome); err != nil {
		_ = up.Reset()
		return err
	}
	splice(ctx, down, moving{up, hookTimeout}) // the leader knows who may have less
	return nil
}

// introduce says the client's hello to the leader and returns the first frame
// of its answer, so that nothing is lost while there is none.
func (s *session) introduce(ctx context.Context, leader identity.PeerID, open *wire.OpenSession) (wire.Stream, []byte, error) {
	opening, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	up, err := s.n.cfg.Network.Open(opening, leader, protocolSession)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = up.Reset() })
	defer stop()
	err = up.SetDeadline(time.Now().Add(requestTimeout))
	if err == nil {
		err = wire.WriteFrame(up, &wire.OpenSession{Hello: open.GetHello(), Relayed: true})
	}
	var answer []byte
	if err == nil {
		answer, err = wire.ReadChunk(up, wire.ToClientBytesMax)
	}
	if err != nil {
		_ = up.Reset()
		return nil, nil, err
	}
	return up, answer, nil
}

// whileLeads is a context that ends when the group has another leader, or none.
func (g *group) whileLeads(parent context.Context, leader identity.PeerID) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	g.n.spawn(func() {
		for {
			now, err := ask(ctx, g.n, func() leadership { return g.leader })
			if err != nil {
				return
			}
			// To lose sight of a leader for a moment is not to have another.
			if now.of != leader && now.of != "" {
				cancel(errLeaderChanged)
				return
			}
			select {
			case <-now.changed:
			case <-ctx.Done():
				return
			}
		}
	})
	return ctx, func() { cancel(nil) }
}
