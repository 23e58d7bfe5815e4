package node

import (
	"context"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// openAt opens a session's stream to a member, this node's own replica included.
func (c *Client) openAt(ctx context.Context, peer identity.PeerID) (wire.Stream, error) {
	if peer == c.net.Self() && c.here != nil {
		return c.here.ownSession()
	}
	return c.net.Open(ctx, peer, protocolSession)
}

// everyone lists the members: this node first where it has a replica.
func (c *Client) everyone(g *replica.Genesis) []identity.PeerID {
	list := c.membersToAsk(g)
	if c.here != nil {
		for _, p := range c.members.peers(g) {
			if p == c.net.Self() {
				return append([]identity.PeerID{p}, list...)
			}
		}
	}
	return list
}

// converse holds one session: it says hello and hands what comes to each, until
// that says that it was the last. Between two frames patience may pass.
func (c *Client) converse(ctx context.Context, g *replica.Genesis, at identity.PeerID, patience time.Duration, edit func(*wire.Hello), each func(*wire.ToClient) (last bool, err error)) error {
	opening, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	opened, err := c.openAt(opening, at)
	if err != nil {
		return err
	}
	s := bind(ctx, opened)
	defer s.Close()
	if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.greetWith(s, g, func(h *wire.Hello) { h.To = []byte(at); edit(h) }); err != nil {
		return err
	}
	for {
		m, err := nextToClient(s)
		if err != nil {
			return err
		}
		last, err := each(m)
		if last || err != nil {
			return err
		}
		if err := s.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
	}
}

// nextToClient reads what a replica says next; a refusal is an error.
func nextToClient(s wire.Stream) (*wire.ToClient, error) {
	m := new(wire.ToClient)
	if err := wire.ReadFrame(s, m, wire.ToClientBytesMax); err != nil {
		return nil, err
	}
	if f := m.GetFailure(); f != nil {
		return nil, &FailureError{f}
	}
	return m, nil
}
