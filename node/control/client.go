package control

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"

	"google.golang.org/grpc"

	"peer/node/control/pb"
)

// Client speaks to the node of a home. Its methods are those of [Backend], and
// return the errors of the backend behind it.
type Client struct {
	unused *atomic.Pointer[net.Conn] // dialled, and not yet taken by conn
	conn   *grpc.ClientConn
	api    pb.PeerClient
}

var _ Backend = (*Client)(nil)

// Close ends the connection, and all that is going on over it.
func (c *Client) Close() error {
	err := c.conn.Close()
	if unused := c.unused.Swap(nil); unused != nil {
		err = errors.Join(err, (*unused).Close())
	}
	return err
}

// Ping asks whether the node answers.
func (c *Client) Ping(ctx context.Context, q *pb.PingRequest) (*pb.PingReply, error) {
	r, err := c.api.Ping(ctx, q)
	return r, fromStatus(err)
}

// Status describes the node.
func (c *Client) Status(ctx context.Context, q *pb.StatusRequest) (*pb.StatusReply, error) {
	r, err := c.api.Status(ctx, q)
	return r, fromStatus(err)
}

// Init creates a repository.
func (c *Client) Init(ctx context.Context, q *pb.InitRequest) (*pb.InitReply, error) {
	r, err := c.api.Init(ctx, q)
	return r, fromStatus(err)
}

// ListRepos lists the repositories that the node holds.
func (c *Client) ListRepos(ctx context.Context, q *pb.ListReposRequest) (*pb.ListReposReply, error) {
	r, err := c.api.ListRepos(ctx, q)
	return r, fromStatus(err)
}

// ShowRepo describes a repository.
func (c *Client) ShowRepo(ctx context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	r, err := c.api.ShowRepo(ctx, q)
	return r, fromStatus(err)
}

// Pull names the best replica to read from.
func (c *Client) Pull(ctx context.Context, q *pb.PullRequest) (*pb.PullReply, error) {
	r, err := c.api.Pull(ctx, q)
	return r, fromStatus(err)
}

// Leader names the replica that leads.
func (c *Client) Leader(ctx context.Context, q *pb.LeaderRequest) (*pb.LeaderReply, error) {
	r, err := c.api.Leader(ctx, q)
	return r, fromStatus(err)
}

// Invite writes an invitation.
func (c *Client) Invite(ctx context.Context, q *pb.InviteRequest) (*pb.InviteReply, error) {
	r, err := c.api.Invite(ctx, q)
	return r, fromStatus(err)
}

// ListInvitations lists the invitations.
func (c *Client) ListInvitations(ctx context.Context, q *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error) {
	r, err := c.api.ListInvitations(ctx, q)
	return r, fromStatus(err)
}

// Withdraw ends an invitation.
func (c *Client) Withdraw(ctx context.Context, q *pb.WithdrawRequest) (*pb.WithdrawReply, error) {
	r, err := c.api.Withdraw(ctx, q)
	return r, fromStatus(err)
}

// AddHook adds a receiver.
func (c *Client) AddHook(ctx context.Context, q *pb.AddHookRequest) (*pb.Hook, error) {
	r, err := c.api.AddHook(ctx, q)
	return r, fromStatus(err)
}

// ListHooks lists the receivers.
func (c *Client) ListHooks(ctx context.Context, q *pb.ListHooksRequest) (*pb.ListHooksReply, error) {
	r, err := c.api.ListHooks(ctx, q)
	return r, fromStatus(err)
}

// RemoveHook drops a receiver.
func (c *Client) RemoveHook(ctx context.Context, q *pb.RemoveHookRequest) (*pb.RemoveHookReply, error) {
	r, err := c.api.RemoveHook(ctx, q)
	return r, fromStatus(err)
}

// TestHook posts a ping to a receiver.
func (c *Client) TestHook(ctx context.Context, q *pb.TestHookRequest) (*pb.TestHookReply, error) {
	r, err := c.api.TestHook(ctx, q)
	return r, fromStatus(err)
}

// AcquireLock takes or renews the write lease.
func (c *Client) AcquireLock(ctx context.Context, q *pb.AcquireLockRequest) (*pb.LockReply, error) {
	r, err := c.api.AcquireLock(ctx, q)
	return r, fromStatus(err)
}

// ReleaseLock gives it back.
func (c *Client) ReleaseLock(ctx context.Context, q *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	r, err := c.api.ReleaseLock(ctx, q)
	return r, fromStatus(err)
}

// Log reads the end of a repository's log.
func (c *Client) Log(ctx context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	r, err := c.api.Log(ctx, q)
	return r, fromStatus(err)
}

// Why explains the state of a repository.
func (c *Client) Why(ctx context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	r, err := c.api.Why(ctx, q)
	return r, fromStatus(err)
}

// Verify has the replicas check themselves.
func (c *Client) Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	replies, err := c.api.Verify(ctx, q)
	if err != nil {
		return fromStatus(err)
	}
	return receive(replies, emit)
}

// receive hands over what a call streams, until it ends.
func receive[T any](from grpc.ServerStreamingClient[T], emit func(*T) error) error {
	for {
		m, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromStatus(err)
		}
		if err := emit(m); err != nil {
			return err
		}
	}
}

// Configure says which replicas the owner wants.
func (c *Client) Configure(ctx context.Context, q *pb.ConfigureRequest) (*pb.Repo, error) {
	r, err := c.api.Configure(ctx, q)
	return r, fromStatus(err)
}

// ChangePolicy gives and takes roles, and protects refs.
func (c *Client) ChangePolicy(ctx context.Context, q *pb.ChangePolicyRequest) (*pb.Repo, error) {
	r, err := c.api.ChangePolicy(ctx, q)
	return r, fromStatus(err)
}

// SetHead makes another branch the default one.
func (c *Client) SetHead(ctx context.Context, q *pb.SetHeadRequest) (*pb.Repo, error) {
	r, err := c.api.SetHead(ctx, q)
	return r, fromStatus(err)
}

// RemoveRepo ends a repository.
func (c *Client) RemoveRepo(ctx context.Context, q *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	r, err := c.api.RemoveRepo(ctx, q)
	return r, fromStatus(err)
}

// Watch calls emit for each event until the context ends, emit fails, or the
// node stops, which is nil.
func (c *Client) Watch(ctx context.Context, q *pb.WatchRequest, emit func(*pb.Event) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events, err := c.api.Watch(ctx, q)
	if err != nil {
		return fromStatus(err)
	}
	return receive(events, emit)
}
