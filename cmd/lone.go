package cmd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/transport"
	"peer/wire"
)

// loneClient reaches the replicas without a node: through a libp2p host of its
// own, which lives as long as the command. Its transport key is fresh, so that
// nobody takes it for the home's node; what it signs is signed with the home's.
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
	network, err := h.Network()
	if err != nil {
		return nil, err
	}
	if len(network.Peers) == 0 {
		return nil, hinted(errors.New("no node runs for this home, and it knows none to ask"),
			"start one with 'peer node', or name one: PEER_PEER=/ip4/…/p2p/ID")
	}
	key, err := h.Key()
	if err != nil {
		return nil, err
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
	return &loneClient{transport: t, client: node.NewClient(key, t, slog.New(slog.DiscardHandler))}, nil
}

// Session implements [dialer].
func (c *loneClient) Session(ctx context.Context, repo string, push bool) (wire.Stream, error) {
	id, err := identity.ParseRepoID(repo)
	if err != nil {
		return nil, err
	}
	if err := c.transport.Ready(ctx); err != nil {
		return nil, hinted(fmt.Errorf("no node of the network answers: %w", err), "start a node of this network, or this home's own: peer node")
	}
	return c.client.Session(ctx, id, push)
}

// Close implements [dialer].
func (c *loneClient) Close() error { return c.transport.Close() }
