package cmd

import (
	"context"
	"encoding/hex"
	"errors"

	"peer/git"
	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/node/hook"
	"peer/wire"
)

func (b *backend) AddHook(_ context.Context, q *pb.AddHookRequest) (*pb.Hook, error) {
	_, repo, err := b.resolve(q.GetRepo())
	if err != nil {
		return nil, err
	}
	events := q.GetEvents()
	if len(events) == 0 {
		events = []string{hook.Push}
	}
	v, err := b.parts.hooks.Add(&wire.Hook{Repo: repo[:], Url: q.GetUrl(), Secret: q.GetSecret(), Events: events, AllowPrivate: q.GetAllowPrivate()})
	if err != nil {
		return nil, hookRefusal(err)
	}
	return b.pbHook(v), nil
}

func (b *backend) ListHooks(context.Context, *pb.ListHooksRequest) (*pb.ListHooksReply, error) {
	if _, err := b.node(); err != nil {
		return nil, err
	}
	reply := &pb.ListHooksReply{}
	for _, v := range b.parts.hooks.List() {
		reply.Hooks = append(reply.Hooks, b.pbHook(v))
	}
	return reply, nil
}

func (b *backend) RemoveHook(_ context.Context, q *pb.RemoveHookRequest) (*pb.RemoveHookReply, error) {
	if _, err := b.node(); err != nil {
		return nil, err
	}
	return &pb.RemoveHookReply{}, hookRefusal(b.parts.hooks.Remove(q.GetId()))
}

func (b *backend) TestHook(ctx context.Context, q *pb.TestHookRequest) (*pb.TestHookReply, error) {
	if _, err := b.node(); err != nil {
		return nil, err
	}
	failed, err := b.parts.hooks.Test(ctx, q.GetId())
	if err != nil {
		return nil, hookRefusal(err)
	}
	reply := &pb.TestHookReply{}
	if failed != nil {
		reply.Problem = failed.Error()
	}
	return reply, nil
}

func hookRefusal(err error) error {
	var unknown *hook.NotFoundError
	var invalid *hook.InvalidError
	switch {
	case errors.As(err, &unknown):
		return refusal(wire.FailureCode_FAILURE_NOT_FOUND, unknown.Error(), "see all: peer hook ls")
	case errors.As(err, &invalid):
		return refusal(wire.FailureCode_FAILURE_BAD_REQUEST, invalid.Why, invalid.Hint)
	}
	return err
}

func (b *backend) pbHook(v hook.View) *pb.Hook {
	out := &pb.Hook{
		Id: v.ID, Repo: v.Repo.String(), Url: publicURL(v.GetUrl()), Signed: len(v.GetSecret()) > 0, Events: v.GetEvents(), AllowPrivate: v.GetAllowPrivate(),
		Index: v.GetIndex(), DeliveredUnixMs: v.GetDeliveredUnixMs(), FailingSinceUnixMs: v.GetFailingSinceUnixMs(), Problem: v.GetProblem(),
		MissedFirst: v.GetMissedFirst(), MissedLast: v.GetMissedLast(),
	}
	if g, _, err := b.parts.node.Published(v.Repo); err == nil {
		out.Name = g.Name
	}
	return out
}

// hookSource is what happens on a node, as hooks tell of it.
type hookSource struct{ node *node.Node }

func hookRepository(owner identity.PublicKey, name string) hook.Repository {
	address := identity.Address{Owner: owner, Name: name}
	return hook.Repository{ID: address.RepoID().String(), Name: name, Owner: owner.DID(), URL: address.URL()}
}

func (s hookSource) At(repo identity.RepoID) (hook.Repository, uint64, error) {
	g, index, err := s.node.Published(repo)
	if err != nil {
		return hook.Repository{}, 0, err
	}
	return hookRepository(g.Owner, g.Name), index, nil
}

func (s hookSource) Next(ctx context.Context, repo identity.RepoID, after uint64) (hook.Page, error) {
	h, err := s.node.History(ctx, repo, after)
	if err != nil {
		return hook.Page{}, err
	}
	page := hook.Page{Through: h.Through}
	if h.Gap != nil {
		page.MissedFirst, page.MissedLast = h.GapFirst, h.Gap.Index
	}
	for _, e := range h.Events {
		page.Events = append(page.Events, hookEvent(e))
	}
	return page, nil
}

func hookEvent(e node.Event) hook.Event {
	out := hook.Event{
		Kind: string(e.Kind), Repository: hookRepository(e.Repository.Owner, e.Repository.Name), Index: e.Index, Term: e.Term, Detail: e.Detail,
	}
	if e.Kind == node.EventCommit {
		out.Kind, out.Time, out.Pusher = hook.Push, e.At, e.Signer.DID()
	}
	if e.Leader != "" {
		out.Leader = e.Leader.String()
	}
	for _, r := range e.Refs {
		out.Refs = append(out.Refs, hook.Ref{Name: r.Name, Old: hex.EncodeToString(r.Old), New: hex.EncodeToString(r.New)})
	}
	return out
}

func (s hookSource) Forced(ctx context.Context, repo identity.RepoID, r hook.Ref) (bool, error) {
	old, err := git.ParseOID(r.Old)
	if err != nil {
		return false, err
	}
	now, err := git.ParseOID(r.New)
	if err != nil {
		return false, err
	}
	return s.node.Forced(ctx, repo, old, now)
}
