package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

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
	repos     repoBackend
	closed    bool // the network has a secret
}

// openDialer finds a way to the replicas: the node that runs for the home, or
// where none runs a host of this command's own.
func openDialer(ctx context.Context, h *Home) (dialer, error) {
	c, err := h.Dial(ctx)
	if !errors.Is(err, control.ErrNotRunning) {
		return c, err
	}
	user, err := h.User()
	if err != nil {
		return nil, err
	}
	alone, err := dialLone(ctx, h, user)
	if err != nil {
		return nil, err
	}
	return alone, nil
}

// dialLone makes a client that speaks in the name of user.
func dialLone(ctx context.Context, h *Home, user identity.Signer) (*loneClient, error) {
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
	closed := network.Secret != ""
	client := node.NewClient(user, t, slog.New(slog.DiscardHandler)).Remember(knownGeneses{h.path(knownDir)}).
		ForHome(closed, receiptsOf(h.Dir).admit, pins{h.Dir}.agree)
	return &loneClient{transport: t, repos: repoBackend{h, client}, closed: closed}, nil
}

// reachAlone is dialLone for a command that a person typed. Where the home knows nobody
// whom to ask, notRunning is what they are told.
func (h *Home) reachAlone(ctx context.Context, notRunning error) (*loneClient, error) {
	if others, err := h.knowsOthers(); err != nil || !others {
		return nil, cmp.Or(err, notRunning)
	}
	user, err := h.User()
	if err != nil {
		return nil, err
	}
	if err := unlock(user); err != nil {
		return nil, err
	}
	c, err := dialLone(ctx, h, user)
	if err != nil {
		return nil, err
	}
	if err := c.awaitNetwork(ctx); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// knowsOthers says whether the home knows a node of its network beside its own.
func (h *Home) knowsOthers() (bool, error) {
	network, err := h.Network()
	if err != nil {
		return false, err
	}
	own, err := h.Key()
	return slices.ContainsFunc(network.Peers, func(addr string) bool { return peerOf(addr) != own.PeerID().String() }), err
}

// awaitNetwork waits until a node of the network answers.
func (c *loneClient) awaitNetwork(ctx context.Context) error {
	trying, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_ = c.transport.Ready(trying) // who is connected says it
	if len(c.transport.Connected()) > 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	return &fault{
		err:  errors.New("no node runs for this home, and no other node of its network answers"),
		hint: "start it: peer node --home " + shellQuote(c.repos.home.Dir), exit: exitUnavailable,
	}
}

// Session implements [dialer].
func (c *loneClient) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	if err := c.transport.Ready(ctx); err != nil {
		return wire.Session{}, hinted(fmt.Errorf("no node of the network answers: %w", err), "start a node of this network, or this home's own: peer node")
	}
	s, err := c.repos.Session(ctx, repo, push)
	return s, asRefusal(err) // which is final or not by its code
}

// Init implements [repoAPI].
func (c *loneClient) Init(ctx context.Context, q *pb.InitRequest) (*pb.InitReply, error) {
	if len(q.GetOn()) == 0 && q.GetReplicas() != 1 && c.closed { // or it is refused
		c.meet(ctx)
	}
	return answer(c.repos.Init(ctx, q))
}

// meetTimeout bounds the search for nodes that may take a repository.
const meetTimeout = 5 * time.Second

// meet connects to the nodes of the network that can be found. A node has done that
// long ago; of who is not connected nobody asks whether they take a repository.
func (c *loneClient) meet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, meetTimeout)
	defer cancel()
	found, _ := c.transport.FindPeers(ctx) // those found until then will do
	var dialling sync.WaitGroup
	for _, id := range found {
		dialling.Go(func() { _ = c.transport.Connect(ctx, id) }) // one that is gone takes nothing
	}
	dialling.Wait()
}

// answer is an answer as the control API would have carried it.
func answer[R any](r R, err error) (R, error) { return r, asRefusal(err) }

// asRefusal is an error as the control API would have carried it.
func asRefusal(err error) error {
	if err == nil {
		return nil
	}
	return control.AsError(err)
}

// ShowRepo implements [repoAPI].
func (c *loneClient) ShowRepo(ctx context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	return answer(c.repos.ShowRepo(ctx, q))
}

// AcquireLock implements [repoAPI].
func (c *loneClient) AcquireLock(ctx context.Context, q *pb.AcquireLockRequest) (*pb.LockReply, error) {
	return answer(c.repos.AcquireLock(ctx, q))
}

// ReleaseLock implements [repoAPI].
func (c *loneClient) ReleaseLock(ctx context.Context, q *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	return answer(c.repos.ReleaseLock(ctx, q))
}

// Configure implements [repoAPI].
func (c *loneClient) Configure(ctx context.Context, q *pb.ConfigureRequest) (*pb.Repo, error) {
	return answer(c.repos.Configure(ctx, q))
}

// ChangePolicy implements [repoAPI].
func (c *loneClient) ChangePolicy(ctx context.Context, q *pb.ChangePolicyRequest) (*pb.Repo, error) {
	return answer(c.repos.ChangePolicy(ctx, q))
}

// SetHead implements [repoAPI].
func (c *loneClient) SetHead(ctx context.Context, q *pb.SetHeadRequest) (*pb.Repo, error) {
	return answer(c.repos.SetHead(ctx, q))
}

// RemoveRepo implements [repoAPI].
func (c *loneClient) RemoveRepo(ctx context.Context, q *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	return answer(c.repos.RemoveRepo(ctx, q))
}

// Log implements [repoAPI].
func (c *loneClient) Log(ctx context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	return answer(c.repos.Log(ctx, q))
}

// Why implements [repoAPI].
func (c *loneClient) Why(ctx context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	return answer(c.repos.Why(ctx, q))
}

// Verify implements [repoAPI].
func (c *loneClient) Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	return asRefusal(c.repos.Verify(ctx, q, emit))
}

// Close implements [dialer].
func (c *loneClient) Close() error { return c.transport.Close() }
