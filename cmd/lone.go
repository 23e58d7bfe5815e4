package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/node/transport"
	"peer/wire"
)

// loneClient reaches the replicas without a node: through a libp2p host of its
// own, which lives as long as the command. Its transport key is fresh, so that
// nobody takes it for the home's node; what it signs is signed by the home's user.
type loneClient struct {
	transport *transport.Transport
	client    *node.Client
}

// openDialer finds a way to the replicas: the node that runs for the home, or
// where none runs a host of this command's own.
func openDialer(ctx context.Context, h *Home) (dialer, error) {
	c, err := h.Dial(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		return dialAlone(ctx, h)
	}
	return c, err
}

func dialAlone(ctx context.Context, h *Home) (dialer, error) {
	c, err := dialLone(ctx, h)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func dialLone(ctx context.Context, h *Home) (*loneClient, error) {
	user, err := h.User()
	if err != nil {
		return nil, err
	}
	return dialLoneAs(ctx, h, user)
}

// dialLoneAs is dialLone in the name of another key.
func dialLoneAs(ctx context.Context, h *Home, user identity.Signer) (*loneClient, error) {
	network, err := h.Network()
	if err != nil {
		return nil, err
	}
	if len(network.Peers) == 0 {
		return nil, hinted(errors.New("no node runs for this home, and it knows none to ask"),
			"start one with 'peer node', or name one: PEER_PEER=/ip4/…/p2p/ID")
	}
	fresh, err := identity.NewKey()
	if err != nil {
		return nil, err
	}
	t, err := transport.New(ctx, transport.Config{
		Key: fresh, Rendezvous: network.Rendezvous, Secret: network.Secret,
		Bootstrap: network.Peers, Relay: true, HolePunch: true, Records: hintRecords{},
	})
	if err != nil {
		return nil, fmt.Errorf("reach the network: %w", err)
	}
	return &loneClient{transport: t, client: node.NewClient(user, t, slog.New(slog.DiscardHandler)).Remember(knownGeneses{h.path(knownDir)})}, nil
}

// Session implements [dialer].
func (c *loneClient) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	id, err := identity.ParseRepoID(repo)
	if err != nil {
		return wire.Session{}, err
	}
	if err := c.transport.Ready(ctx); err != nil {
		return wire.Session{}, hinted(fmt.Errorf("no node of the network answers: %w", err), "start a node of this network, or this home's own: peer node")
	}
	stream, err := c.client.Session(ctx, id, push)
	if err != nil {
		return wire.Session{}, control.AsError(err) // a refusal is final or not by its code
	}
	return stream, nil
}

// ShowRepo implements [way].
func (c *loneClient) ShowRepo(ctx context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	id, err := identity.ParseRepoID(q.GetRepo())
	if err == nil {
		err = c.transport.Ready(ctx)
	}
	if err != nil {
		return nil, err
	}
	info, err := c.client.Show(ctx, id)
	if err != nil {
		return nil, asRefusal(err)
	}
	return pbRepo(info), nil
}

// Close implements [dialer].
func (c *loneClient) Close() error { return c.transport.Close() }
