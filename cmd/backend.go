package cmd

import (
	"bytes"
	"context"
	"encoding/hex"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// backend is the node as the control API shows it. It translates and decides nothing.
type backend struct {
	cfg   NodeConfig
	parts *nodeParts
	// Of the git daemon: where it listens, and the DID under which it reads and pushes.
	git, http, gitDID string
}

func refusal(code wire.FailureCode, message, hint string) error {
	return &node.FailureError{F: &wire.Failure{Code: code, Message: message, Hint: hint}}
}

// node is nil on a bootstrap node, which holds no repositories.
func (b *backend) node() (*node.Node, error) {
	if b.parts.node == nil {
		return nil, refusal(wire.FailureCode_FAILURE_BAD_REQUEST, "this is a bootstrap node: it holds no repositories", "ask a node: --home DIR names its home")
	}
	return b.parts.node, nil
}

func (b *backend) resolve(repo string) (*node.Node, identity.RepoID, error) {
	n, err := b.node()
	if err != nil {
		return nil, identity.RepoID{}, err
	}
	ref, err := b.cfg.Home.ResolveRepo(repo)
	if err != nil {
		return nil, ref.ID, refusal(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "a repository is NAME (your own), OWNER/NAME, a peer:// URL or an ID of 64 digits")
	}
	return n, ref.ID, nil
}

func (b *backend) Ping(context.Context, *pb.PingRequest) (*pb.PingReply, error) {
	return &pb.PingReply{Version: Version()}, nil
}

func (b *backend) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusReply, error) {
	t := b.parts.transport
	s := &pb.StatusReply{
		PeerId: t.Self().String(), Did: b.cfg.User.Public().DID(), Addrs: t.Addrs(),
		GitAddr: b.git, HttpAddr: b.http, GitDid: b.gitDID, Version: Version(),
	}
	for _, id := range t.Connected() {
		s.Peers = append(s.Peers, &pb.ConnectedPeer{PeerId: id.String(), Addr: t.Addr(id)})
	}
	if b.parts.node == nil {
		return s, nil
	}
	hosting := b.parts.node.Hosting()
	s.Accept, s.UsedBytes, s.LeftBytes = b.cfg.Accept.String(), hosting.Used, hosting.Left
	repos, err := b.parts.node.Repos(ctx)
	for _, info := range repos {
		s.Repos = append(s.Repos, pbRepo(info))
	}
	return s, err
}

func (b *backend) Init(ctx context.Context, r *pb.InitRequest) (*pb.InitReply, error) {
	n, err := b.node()
	if err != nil {
		return nil, err
	}
	o := node.InitOptions{Name: r.GetName(), Replicas: int(r.GetReplicas()), ObjectFormat: r.GetObjectFormat(), DefaultBranch: r.GetDefaultBranch(), Private: r.GetPrivate()}
	for _, name := range r.GetOn() {
		id, err := identity.ParsePeerID(name)
		if err != nil {
			return nil, refusal(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "peer status shows the IDs of the nodes")
		}
		o.On = append(o.On, id)
	}
	info, err := n.Init(ctx, o)
	if err != nil {
		return nil, err
	}
	return &pb.InitReply{Repo: pbRepo(info)}, nil
}

func (b *backend) ListRepos(ctx context.Context, _ *pb.ListReposRequest) (*pb.ListReposReply, error) {
	n, err := b.node()
	if err != nil {
		return nil, err
	}
	repos, err := n.Repos(ctx)
	if err != nil {
		return nil, err
	}
	reply := &pb.ListReposReply{}
	for _, info := range repos {
		reply.Repos = append(reply.Repos, pbRepo(info))
	}
	return reply, nil
}

func (b *backend) show(ctx context.Context, repo string) (node.Info, error) {
	n, id, err := b.resolve(repo)
	if err != nil {
		return node.Info{}, err
	}
	return n.Show(ctx, id)
}

func (b *backend) ShowRepo(ctx context.Context, r *pb.ShowRepoRequest) (*pb.Repo, error) {
	info, err := b.show(ctx, r.GetRepo())
	if err != nil {
		return nil, err
	}
	return pbRepo(info), nil
}

// Pull names the replica in sync with the shortest way to it: this node's own,
// or else one that is connected.
func (b *backend) Pull(ctx context.Context, r *pb.PullRequest) (*pb.PullReply, error) {
	info, err := b.show(ctx, r.GetRepo())
	if err != nil {
		return nil, err
	}
	t := b.parts.transport
	var best *node.Replica
	for i, m := range info.Replicas {
		switch {
		case !m.InSync:
		case m.Peer == t.Self(), best == nil, t.IsConnected(m.Peer) && !t.IsConnected(best.Peer) && best.Peer != t.Self():
			best = &info.Replicas[i]
		}
	}
	if best == nil {
		return nil, refusal(wire.FailureCode_FAILURE_NO_QUORUM, "no replica is known to be in sync", "see which answer: peer repo show "+r.GetRepo())
	}
	return &pb.PullReply{Peer: best.Peer.String(), Addrs: b.addrs(best.Peer), Index: best.Index, Url: pbRepo(info).GetUrl()}, nil
}

func (b *backend) addrs(id identity.PeerID) []string {
	if id == b.parts.transport.Self() {
		return b.parts.transport.Addrs()
	}
	return dialable(b.parts.transport.KnownAddrs(id), id)
}

func (b *backend) Leader(ctx context.Context, r *pb.LeaderRequest) (*pb.LeaderReply, error) {
	info, err := b.show(ctx, r.GetRepo())
	if err != nil {
		return nil, err
	}
	if info.Leader == "" {
		return nil, refusal(wire.FailureCode_FAILURE_NO_QUORUM, "nobody leads the group now", "see which replicas answer: peer repo show "+r.GetRepo())
	}
	return &pb.LeaderReply{Peer: info.Leader.String(), Term: info.Term, Addrs: b.addrs(info.Leader)}, nil
}

func (b *backend) AcquireLock(ctx context.Context, r *pb.AcquireLockRequest) (*pb.LockReply, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	lock, done, err := n.AcquireLock(ctx, id, time.Duration(r.GetTtlMs())*time.Millisecond, r.GetReason(), r.GetToken())
	if err != nil {
		return nil, err
	}
	return &pb.LockReply{Lock: pbLock(lock), Commit: b.cfg.Home.keepCommit(ctx, done)}, nil
}

func (b *backend) ReleaseLock(ctx context.Context, r *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	done, err := n.ReleaseLock(ctx, id, r.GetToken())
	if err != nil {
		return nil, err
	}
	return &pb.LockReply{Commit: b.cfg.Home.keepCommit(ctx, done)}, nil
}

func (b *backend) Configure(ctx context.Context, r *pb.ConfigureRequest) (*pb.Repo, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	change, err := parseWishes(r)
	if err != nil {
		return nil, err
	}
	return b.changed(ctx)(n.Configure(ctx, id, change))
}

func (b *backend) ChangePolicy(ctx context.Context, r *pb.ChangePolicyRequest) (*pb.Repo, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	change, err := parsePolicyChange(r)
	if err != nil {
		return nil, err
	}
	return b.changed(ctx)(n.ChangePolicy(ctx, id, change))
}

func (b *backend) SetHead(ctx context.Context, r *pb.SetHeadRequest) (*pb.Repo, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	branch, err := node.BranchRef(r.GetBranch())
	if err != nil {
		return nil, err
	}
	info, done, err := n.SetHead(ctx, id, branch)
	repo, err := b.changed(ctx)(info, done, err)
	if err == nil && info.Unborn {
		warnUnborn(repo)
	}
	return repo, err
}

func (b *backend) RemoveRepo(ctx context.Context, r *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	n, id, err := b.resolve(r.GetRepo())
	if err != nil {
		return nil, err
	}
	done, err := n.Remove(ctx, id, r.GetReason())
	if err != nil {
		return nil, err
	}
	return &pb.RemoveRepoReply{Commit: b.cfg.Home.keepCommit(ctx, done)}, nil
}

// changed is a repository after an operation.
func (b *backend) changed(ctx context.Context) func(node.Info, *replica.Done, error) (*pb.Repo, error) {
	return func(info node.Info, done *replica.Done, err error) (*pb.Repo, error) {
		commit := b.cfg.Home.keepCommit(ctx, done) // also where it could not be shown afterwards
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

// AttachSigner implements [control.Backend].
func (b *backend) AttachSigner(_ context.Context, s identity.Signer) (func(), error) {
	if me := b.cfg.User.Public(); s.Public() != me {
		return nil, refusal(wire.FailureCode_FAILURE_NOT_ALLOWED, "the user of this node is "+me.DID()+", not "+s.Public().DID(), "nothing was changed; see: peer id show")
	}
	return b.cfg.User.attach(s), nil
}

func (b *backend) Watch(ctx context.Context, q *pb.WatchRequest, emit func(*pb.Event) error) error {
	n, err := b.node()
	if err != nil {
		return err
	}
	tell := func(e node.Event) error { return emit(pbEvent(e)) }
	switch {
	case q.GetRepo() == "" && q.Since != nil:
		return refusal(wire.FailureCode_FAILURE_BAD_REQUEST, "an index to watch from is one of a repository, and none was named", "peer watch REPO --since INDEX")
	case q.GetRepo() == "":
		return n.Watch(ctx, tell)
	}
	_, only, err := b.resolve(q.GetRepo())
	if err != nil {
		return err
	}
	return n.WatchRepo(ctx, only, q.Since, tell)
}

func (b *backend) Session(ctx context.Context, repo string, push bool) (wire.Session, error) {
	n, id, err := b.resolve(repo)
	if err != nil {
		return wire.Session{}, err
	}
	return n.Session(ctx, id, push)
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

func pbEvent(e node.Event) *pb.Event {
	out := &pb.Event{Kind: string(e.Kind), Index: e.Index, Term: e.Term, UnixMs: e.At.UnixMilli()}
	if g := e.Repository; g != nil {
		out.Repo, out.Name, out.Url = g.Repo.String(), g.Name, identity.Address{Owner: g.Owner, Name: g.Name}.URL()
	}
	if e.Leader != "" {
		out.Leader = e.Leader.String()
	}
	if e.Signer != (identity.PublicKey{}) {
		out.Signer = e.Signer.DID()
	}
	if e.Peer != "" {
		out.Peer = e.Peer.String()
	}
	out.Detail = e.Detail
	for _, r := range e.Refs {
		out.Refs = append(out.Refs, &pb.RefChange{Name: r.Name, Old: hex.EncodeToString(r.Old), New: hex.EncodeToString(r.New)})
	}
	return out
}

func splitLines(raw []byte) []string {
	var lines []string
	for _, l := range bytes.Split(raw, []byte("\n")) {
		if len(l) > 0 {
			lines = append(lines, string(l))
		}
	}
	return lines
}

func joinLines(lines []string) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		b.WriteString(l + "\n")
	}
	return b.Bytes()
}
