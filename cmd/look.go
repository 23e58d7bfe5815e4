package cmd

import (
	"context"
	"errors"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
)

// looker is whom the commands ask that only look: the node, or the replicas
// themselves where no node runs.
type looker interface {
	Log(context.Context, *pb.LogRequest) (*pb.LogReply, error)
	Why(context.Context, *pb.WhyRequest) (*pb.WhyReply, error)
	Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error
	Close() error
}

// look finds whom to ask about a repository, and what to call it there. signs says
// that the answer depends on who asks, so that an encrypted key is to be opened.
func (a *app) look(ctx context.Context, arg string, signs bool, do func(from looker, repo string) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	ref, err := home.ResolveRepo(arg)
	if err != nil {
		return err
	}
	running, err := home.Dial(ctx)
	if err == nil {
		defer running.Close()
		if signs {
			detach, err := home.signFor(ctx, running)
			if err != nil {
				return err
			}
			defer detach()
		}
		return do(running, ref.String())
	}
	if !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	network, nerr := home.Network()
	if nerr != nil || len(network.Peers) == 0 {
		return err
	}
	alone, aerr := dialLone(ctx, home)
	if aerr != nil {
		return aerr
	}
	defer alone.Close()
	if rerr := alone.transport.Ready(ctx); rerr != nil {
		return hinted(errors.New("no node runs for this home, and no other node of its network answers"), "start it: peer node")
	}
	return do(alone, ref.ID.String())
}

// Log implements [looker].
func (c *loneClient) Log(ctx context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	id, err := identity.ParseRepoID(q.GetRepo())
	if err != nil {
		return nil, err
	}
	r, err := pbLog(c.client.Log(ctx, id, int(q.GetCount())))
	return r, asRefusal(err)
}

// Why implements [looker].
func (c *loneClient) Why(ctx context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	id, err := identity.ParseRepoID(q.GetRepo())
	if err != nil {
		return nil, err
	}
	r, err := pbWhy(c.client.Why(ctx, id))
	return r, asRefusal(err)
}

// Verify implements [looker].
func (c *loneClient) Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	id, err := identity.ParseRepoID(q.GetRepo())
	if err != nil {
		return err
	}
	return asRefusal(c.client.Verify(ctx, id, q.GetDeep(), func(v node.Verdict) error { return emit(pbVerdict(v)) }))
}

// asRefusal is an error as the control API would have carried it.
func asRefusal(err error) error {
	if err == nil {
		return nil
	}
	return control.AsError(err)
}
