package control

import (
	"context"

	"peer/identity"
	"peer/node/control/pb"
	"peer/wire"
)

// Backend is what a node does for its owner's programs. Its methods are called
// from many goroutines; their context ends when the caller goes away. An error
// becomes an [Error] by the rules of [AsError], so an implementation may return
// its own, provided that it, or one it wraps, has a method
//
//	Failure() *wire.Failure
//
// Everything else reaches the caller as FAILURE_INTERNAL and is logged.
//
// [Client] is a Backend too: the node of a home, seen from another process.
type Backend interface {
	// Ping answers at once, without a lock and without the network.
	Ping(context.Context, *pb.PingRequest) (*pb.PingReply, error)
	// Status describes this node. The server fills in grpc_addr.
	Status(context.Context, *pb.StatusRequest) (*pb.StatusReply, error)
	Init(context.Context, *pb.InitRequest) (*pb.InitReply, error)
	ListRepos(context.Context, *pb.ListReposRequest) (*pb.ListReposReply, error)
	ShowRepo(context.Context, *pb.ShowRepoRequest) (*pb.Repo, error)
	Pull(context.Context, *pb.PullRequest) (*pb.PullReply, error)
	Leader(context.Context, *pb.LeaderRequest) (*pb.LeaderReply, error)
	AcquireLock(context.Context, *pb.AcquireLockRequest) (*pb.LockReply, error)
	ReleaseLock(context.Context, *pb.ReleaseLockRequest) (*pb.LockReply, error)
	Configure(context.Context, *pb.ConfigureRequest) (*pb.Repo, error)
	ChangePolicy(context.Context, *pb.ChangePolicyRequest) (*pb.Repo, error)
	SetHead(context.Context, *pb.SetHeadRequest) (*pb.Repo, error)
	RemoveRepo(context.Context, *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error)

	Log(context.Context, *pb.LogRequest) (*pb.LogReply, error)
	Why(context.Context, *pb.WhyRequest) (*pb.WhyReply, error)
	// Verify calls emit, on one goroutine at a time, for what each replica says.
	Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error

	Invite(context.Context, *pb.InviteRequest) (*pb.InviteReply, error)
	ListInvitations(context.Context, *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error)
	Withdraw(context.Context, *pb.WithdrawRequest) (*pb.WithdrawReply, error)

	AddHook(context.Context, *pb.AddHookRequest) (*pb.Hook, error)
	ListHooks(context.Context, *pb.ListHooksRequest) (*pb.ListHooksReply, error)
	RemoveHook(context.Context, *pb.RemoveHookRequest) (*pb.RemoveHookReply, error)
	TestHook(context.Context, *pb.TestHookRequest) (*pb.TestHookReply, error)

	// AttachSigner has the node sign in its user's name through s, which is called from
	// many goroutines, until detach. It is refused where s is somebody else's.
	AttachSigner(ctx context.Context, s identity.Signer) (detach func(), err error)

	// Watch calls emit for each event that is asked for until the context ends or
	// emit fails. It calls emit on one goroutine, and must not hold a lock while it
	// does: a slow reader blocks emit.
	Watch(ctx context.Context, q *pb.WatchRequest, emit func(*pb.Event) error) error

	// Session opens a stream to a replica that can serve repo; with push set,
	// to the leader where one is known. The context bounds the opening and the
	// stream's life. Whoever called Session closes or resets the stream; a
	// Reset must make a blocked Read and Write return.
	Session(ctx context.Context, repo string, push bool) (wire.Session, error)
}
