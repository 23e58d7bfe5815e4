package control

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"peer/node/control/pb"
)

// service is the generated server interface over a [Backend]. Errors are left
// as the backend returned them: the gate turns them into statuses.
type service struct {
	pb.UnimplementedPeerServer
	backend  Backend
	grpcAddr string
	pumps    *sync.WaitGroup // goroutines of sessions
}

func (s *service) Ping(ctx context.Context, q *pb.PingRequest) (*pb.PingReply, error) {
	return s.backend.Ping(ctx, q)
}

func (s *service) Status(ctx context.Context, q *pb.StatusRequest) (*pb.StatusReply, error) {
	r, err := s.backend.Status(ctx, q)
	if r != nil {
		r.GrpcAddr = s.grpcAddr
	}
	return r, err
}

func (s *service) Init(ctx context.Context, q *pb.InitRequest) (*pb.InitReply, error) {
	return s.backend.Init(ctx, q)
}

func (s *service) ListRepos(ctx context.Context, q *pb.ListReposRequest) (*pb.ListReposReply, error) {
	return s.backend.ListRepos(ctx, q)
}

func (s *service) ShowRepo(ctx context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	return s.backend.ShowRepo(ctx, q)
}

func (s *service) Pull(ctx context.Context, q *pb.PullRequest) (*pb.PullReply, error) {
	return s.backend.Pull(ctx, q)
}

func (s *service) Leader(ctx context.Context, q *pb.LeaderRequest) (*pb.LeaderReply, error) {
	return s.backend.Leader(ctx, q)
}

func (s *service) AcquireLock(ctx context.Context, q *pb.AcquireLockRequest) (*pb.LockReply, error) {
	return s.backend.AcquireLock(ctx, q)
}

func (s *service) ReleaseLock(ctx context.Context, q *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	return s.backend.ReleaseLock(ctx, q)
}

func (s *service) Log(ctx context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	return s.backend.Log(ctx, q)
}

func (s *service) Why(ctx context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	return s.backend.Why(ctx, q)
}

func (s *service) Verify(q *pb.VerifyRequest, out grpc.ServerStreamingServer[pb.VerifyReply]) error {
	return s.backend.Verify(out.Context(), q, out.Send)
}

func (s *service) Invite(ctx context.Context, q *pb.InviteRequest) (*pb.InviteReply, error) {
	return s.backend.Invite(ctx, q)
}

func (s *service) ListInvitations(ctx context.Context, q *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error) {
	return s.backend.ListInvitations(ctx, q)
}

func (s *service) Withdraw(ctx context.Context, q *pb.WithdrawRequest) (*pb.WithdrawReply, error) {
	return s.backend.Withdraw(ctx, q)
}

func (s *service) AddHook(ctx context.Context, q *pb.AddHookRequest) (*pb.Hook, error) {
	return s.backend.AddHook(ctx, q)
}

func (s *service) ListHooks(ctx context.Context, q *pb.ListHooksRequest) (*pb.ListHooksReply, error) {
	return s.backend.ListHooks(ctx, q)
}

func (s *service) RemoveHook(ctx context.Context, q *pb.RemoveHookRequest) (*pb.RemoveHookReply, error) {
	return s.backend.RemoveHook(ctx, q)
}

func (s *service) TestHook(ctx context.Context, q *pb.TestHookRequest) (*pb.TestHookReply, error) {
	return s.backend.TestHook(ctx, q)
}

func (s *service) Configure(ctx context.Context, q *pb.ConfigureRequest) (*pb.Repo, error) {
	return s.backend.Configure(ctx, q)
}

func (s *service) ChangePolicy(ctx context.Context, q *pb.ChangePolicyRequest) (*pb.Repo, error) {
	return s.backend.ChangePolicy(ctx, q)
}

func (s *service) SetHead(ctx context.Context, q *pb.SetHeadRequest) (*pb.Repo, error) {
	return s.backend.SetHead(ctx, q)
}

func (s *service) RemoveRepo(ctx context.Context, q *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	return s.backend.RemoveRepo(ctx, q)
}

func (s *service) Watch(q *pb.WatchRequest, out grpc.ServerStreamingServer[pb.Event]) error {
	// The headers tell the client that its watch has begun.
	if err := out.SendHeader(nil); err != nil {
		return err
	}
	return s.backend.Watch(out.Context(), q, out.Send)
}
