package cmd

import (
	"context"
	"fmt"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// repoBackend is the part of the control API that needs no node: what concerns one
// repository, wherever it lives.
type repoBackend struct {
	home   *Home
	client *node.Client // nil on a bootstrap node
}

func (b *repoBackend) resolve(repo string) (*node.Client, identity.RepoID, error) {
	if b.client == nil {
		return nil, identity.RepoID{}, errBootstrap
	}
	ref, err := b.home.ResolveRepo(repo)
	if err != nil {
		return nil, ref.ID, refusal(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "a repository is NAME (your own), OWNER/NAME, a peer:// URL or an ID of 64 digits")
	}
	return b.client, ref.ID, nil
}

func (b *repoBackend) Init(ctx context.Context, r *pb.InitRequest) (*pb.InitReply, error) {
	if b.client == nil {
		return nil, errBootstrap
	}
	o := node.InitOptions{Name: r.GetName(), Replicas: int(r.GetReplicas()), ObjectFormat: r.GetObjectFormat(), DefaultBranch: r.GetDefaultBranch(), Private: r.GetPrivate()}
	for _, name := range r.GetOn() {
		id, err := identity.ParsePeerID(name)
		if err != nil {
			return nil, refusal(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "peer status shows the IDs of the nodes")
		}
		o.On = append(o.On, id)
	}
	met := pins{b.home.Dir}
	if err := b.checkNew(met, o.Name); err != nil {
		return nil, err
	}
	info, err := b.client.Init(ctx, o)
	if err != nil {
		return nil, err
	}
	reply := &pb.InitReply{Repo: pbRepo(info)}
	// A home whose node does not hold it finds what is its user's by what it has met.
	g := info.Genesis
	if err := met.remember(ctx, g.Repo, g.Name, g.Hash, info.Index); err != nil {
		reply.Warnings = append(reply.Warnings, fmt.Sprintf("it is created, but this home could not note it: %v", err))
	}
	return reply, nil
}

// checkNew refuses a name that the user has given already: nobody who has it may be
// reachable now, and two geneses of one repository can't be told apart by anybody.
func (b *repoBackend) checkNew(met pins, name string) error {
	me, err := b.home.Me()
	if err != nil {
		return err
	}
	id := identity.NewRepoID(me, name)
	have, err := met.lookup(id)
	if err != nil || have.Genesis == "" {
		return err
	}
	return refusal(wire.FailureCode_FAILURE_BAD_REQUEST, "you have a repository "+name+" already",
		fmt.Sprintf("use it: peer clone %s; or choose another name. If no replica of it is left anywhere, take %s out of %s", shellQuote(name), id, met.path()))
}

func (b *repoBackend) show(ctx context.Context, repo string) (node.Info, error) {
	c, id, err := b.resolve(repo)
	if err != nil {
		return node.Info{}, err
	}
	return c.Show(ctx, id)
}

func (b *repoBackend) ShowRepo(ctx context.Context, r *pb.ShowRepoRequest) (*pb.Repo, error) {
	info, err := b.show(ctx, r.GetRepo())
	if err != nil {
		return nil, err
	}
	return pbRepo(info), nil
}

func (b *repoBackend) AcquireLock(ctx context.Context, r *pb.AcquireLockRequest) (*pb.LockReply, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	lock, done, err := c.AcquireLock(ctx, id, time.Duration(r.GetTtlMs())*time.Millisecond, r.GetReason(), r.GetToken())
	if err != nil {
		return nil, err
	}
	return &pb.LockReply{Lock: pbLock(lock), Commit: b.home.keepCommit(ctx, done)}, nil
}

func (b *repoBackend) ReleaseLock(ctx context.Context, r *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	done, err := c.ReleaseLock(ctx, id, r.GetToken())
	if err != nil {
		return nil, err
	}
	return &pb.LockReply{Commit: b.home.keepCommit(ctx, done)}, nil
}

func (b *repoBackend) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.Repo, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	change, err := parseWishes(r)
	if err != nil {
		return nil, err
	}
	return b.changed(ctx)(c.Configure(ctx, id, change))
}

func (b *repoBackend) ChangePolicy(ctx context.Context, r *pb.ChangePolicyRequest) (*pb.Repo, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	change, err := parsePolicyChange(r)
	if err != nil {
		return nil, err
	}
	return b.changed(ctx)(c.ChangePolicy(ctx, id, change))
}

func (b *repoBackend) SetHead(ctx context.Context, r *pb.SetHeadRequest) (*pb.Repo, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	branch, err := node.BranchRef(r.GetBranch())
	if err != nil {
		return nil, err
	}
	info, done, err := c.SetHead(ctx, id, branch)
	repo, err := b.changed(ctx)(info, done, err)
	if err == nil && info.Unborn {
		warnUnborn(repo)
	}
	return repo, err
}

func (b *repoBackend) RemoveRepo(ctx context.Context, r *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	c, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	done, err := c.Remove(ctx, id, r.GetReason())
	if err != nil {
		return nil, err
	}
	return &pb.RemoveRepoReply{Commit: b.home.keepCommit(ctx, done)}, nil
}

// changed is a repository after an operation.
func (b *repoBackend) changed(ctx context.Context) func(node.Info, *replica.Done, error) (*pb.Repo, error) {
	return func(info node.Info, done *replica.Done, err error) (*pb.Repo, error) {
		commit := b.home.keepCommit(ctx, done) // also where it could not be shown afterwards
		if err != nil && commit != nil {
			return nil, refusal(control.AsError(err).Code, commitLine(commit)+", and how it is now can't be shown: "+err.Error(), "see: peer repo show")
		}
		if err != nil {
			return nil, err
		}
		r := pbRepo(info)
		r.Commit = commit
		return r, nil
	}
}

func (b *repoBackend) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	c, id, err := b.resolve(repo)
	if err != nil {
		return wire.Session{}, err
	}
	return c.Session(ctx, id, push)
}

func pbRepo(info node.Info) *pb.Repo {
	g := info.Genesis
	r := &pb.Repo{
		Id: g.Repo.String(), Name: g.Name, Owner: g.Owner.DID(),
		Url:  identity.Address{Owner: g.Owner, Name: g.Name}.URL(),
		Term: info.Term, Index: info.Index, ObjectFormat: g.ObjectFormat,
		Lock: pbLock(info.Lock), Problem: info.Problem, Dir: info.Dir,
		Wanted: pbWanted(info), Plan: info.Plan, RemovedUnixMs: info.Removed.GetStampUnixMs(),
		Policy: pbPolicy(info.Policy), Private: g.Private, Head: info.Head,
	}
	if g.Owner == (identity.PublicKey{}) { // its genesis is unreadable
		r.Owner, r.Url = "", ""
	}
	if info.Leader != "" {
		r.Leader = info.Leader.String()
	}
	for _, m := range info.Replicas {
		r.Replicas = append(r.Replicas, &pb.Replica{Peer: m.Peer.String(), Alive: m.Alive, InSync: m.InSync, Index: m.Index, Role: node.RoleName(m.Role)})
	}
	return r
}

func pbLock(l *wire.Lock) *pb.Lock {
	owner, err := identity.ParsePublicKey(l.GetOwner())
	if err != nil {
		return nil
	}
	return &pb.Lock{Owner: owner.DID(), Token: l.GetToken(), ExpiresUnixMs: l.GetExpiresUnixMs(), Reason: l.GetReason()}
}
