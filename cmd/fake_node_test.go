package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"peer/identity"
	"peer/node"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/replica"
	"peer/wire"
)

// fakeNode keeps repositories in memory behind the real control API.
type fakeNode struct {
	*control.Server
	cfg NodeConfig

	mu    sync.Mutex
	repos map[string]*pb.Repo // by URL
}

func startFakeNode(ctx context.Context, cfg NodeConfig) (running, error) {
	if why := os.Getenv("FAKE_NODE_FAILS"); why != "" {
		return nil, errors.New(why)
	}
	cfg.Log.Info("fake node", "rendezvous", cfg.Rendezvous, "secret", cfg.Secret, "peers", strings.Join(cfg.Peers, ","),
		"listen", strings.Join(cfg.Listen, ","), "grpc", cfg.GRPCAddr, "git", cfg.GitAddr, "push", cfg.GitPush,
		"repos", cfg.ReposDir, "mdns", cfg.MDNS, "relay", cfg.Relay, "nat", cfg.NAT, "bootstrap", cfg.Bootstrap,
		"http", cfg.HTTPAddr, "httppush", cfg.HTTPPush, "names", strings.Join(cfg.HTTPNames, ","),
		"room", cfg.RoomBytes, "reporoom", cfg.RepoBytesMax)
	n := &fakeNode{cfg: cfg, repos: map[string]*pb.Repo{}}
	server, err := control.Serve(context.WithoutCancel(ctx), control.Options{
		SocketPath: cfg.Home.SocketPath(), TCPAddr: cfg.GRPCAddr, TokenPath: cfg.Home.TokenPath(),
		Backend: n, Logger: cfg.Log,
	})
	n.Server = server
	return n, err
}

func (n *fakeNode) Ping(context.Context, *pb.PingRequest) (*pb.PingReply, error) {
	return &pb.PingReply{Version: "fake"}, nil
}

func (n *fakeNode) Status(context.Context, *pb.StatusRequest) (*pb.StatusReply, error) {
	r := &pb.StatusReply{PeerId: n.cfg.Key.PeerID().String(), Did: n.cfg.User.Public().DID(), GitAddr: n.cfg.GitAddr, HttpAddr: n.cfg.HTTPAddr, Version: "fake"}
	for _, addr := range n.cfg.Listen {
		r.Addrs = append(r.Addrs, addr+"/p2p/"+r.PeerId)
	}
	for _, addr := range n.cfg.Peers {
		at := strings.LastIndex(addr, "/p2p/")
		r.Peers = append(r.Peers, &pb.ConnectedPeer{PeerId: addr[at+len("/p2p/"):], Addr: addr[:at]})
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, repo := range n.repos {
		r.Repos = append(r.Repos, repo)
	}
	return r, nil
}

func (n *fakeNode) Init(_ context.Context, q *pb.InitRequest) (*pb.InitReply, error) {
	address := identity.Address{Owner: n.cfg.User.Public(), Name: q.GetName()}
	if _, err := n.cfg.User.TrySign(identity.DomainGenesis, []byte(q.GetName())); err != nil {
		return nil, &control.Error{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "this can't be signed in your name: " + err.Error(), Hint: "peer id show"}
	}
	self := n.cfg.Key.PeerID().String()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.repos[address.URL()] != nil {
		return nil, &control.Error{
			Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: "repository " + q.GetName() + " exists already",
			Hint: "peer repo show " + q.GetName(),
		}
	}
	r := &pb.Repo{
		Id: address.RepoID().String(), Name: q.GetName(), Owner: n.cfg.User.Public().DID(), Url: address.URL(),
		Leader: self, Term: 1, Index: 1, ObjectFormat: firstSet(q.GetObjectFormat(), "sha1"), Dir: n.cfg.ReposDir + "/" + q.GetName(),
		Replicas: []*pb.Replica{{Peer: self, Alive: true, InSync: true, Index: 1}},
	}
	want := int(q.GetReplicas())
	if want == 0 {
		want = min(3, 1+len(n.cfg.Peers))
	}
	for i := 1; i < want; i++ {
		peer := fmt.Sprintf("12D3KooWfake%d", i)
		if i <= len(q.GetOn()) {
			peer = q.GetOn()[i-1]
		}
		r.Replicas = append(r.Replicas, &pb.Replica{Peer: peer, Alive: i != 2, InSync: i != 2, Index: 1})
	}
	n.repos[r.Url] = r
	return &pb.InitReply{Repo: r, Warnings: []string{"branch " + q.GetDefaultBranch()}}, nil
}

func (n *fakeNode) find(ref string) (*pb.Repo, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for url, r := range n.repos {
		if url == ref || r.GetId() == ref {
			return r, nil
		}
	}
	return nil, &control.Error{
		Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "no repository " + ref + " in this network", Hint: "create it: peer init NAME",
	}
}

func (n *fakeNode) ListRepos(ctx context.Context, _ *pb.ListReposRequest) (*pb.ListReposReply, error) {
	s, err := n.Status(ctx, nil)
	return &pb.ListReposReply{Repos: s.GetRepos()}, err
}

func (n *fakeNode) ShowRepo(_ context.Context, q *pb.ShowRepoRequest) (*pb.Repo, error) {
	return n.find(q.GetRepo())
}

func (n *fakeNode) Pull(context.Context, *pb.PullRequest) (*pb.PullReply, error) {
	return &pb.PullReply{}, nil
}

func (n *fakeNode) Leader(context.Context, *pb.LeaderRequest) (*pb.LeaderReply, error) {
	return &pb.LeaderReply{}, nil
}

func (n *fakeNode) AcquireLock(_ context.Context, q *pb.AcquireLockRequest) (*pb.LockReply, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := r.GetLock(); l != nil && l.GetToken() != q.GetToken() {
		return nil, &control.Error{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "somebody holds the lock: " + l.GetReason()}
	}
	r.Index++
	r.Lock = &pb.Lock{
		Owner: n.cfg.User.Public().DID(), Token: r.Index, Reason: q.GetReason(),
		ExpiresUnixMs: time.Now().Add(time.Duration(q.GetTtlMs()) * time.Millisecond).UnixMilli(),
	}
	return &pb.LockReply{Lock: r.Lock}, nil
}

func (n *fakeNode) ReleaseLock(_ context.Context, q *pb.ReleaseLockRequest) (*pb.LockReply, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if r.GetLock().GetToken() != q.GetToken() {
		return nil, &control.Error{Code: wire.FailureCode_FAILURE_BAD_REQUEST, Message: "that lock is not held"}
	}
	r.Lock = nil
	return &pb.LockReply{}, nil
}

func (n *fakeNode) AttachSigner(_ context.Context, s identity.Signer) (func(), error) {
	return n.cfg.User.attach(s), nil
}

func (n *fakeNode) Log(_ context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	did := n.cfg.Key.Public().DID()
	return &pb.LogReply{First: 3, Index: 5, Peer: r.GetLeader(), Entries: []*pb.LogEntry{
		{Index: 3, Term: 1},
		{Index: 4, Term: 1, UnixMs: 1_700_000_000_000, Signer: did, Changes: []*pb.LogChange{
			{Kind: "ref", Name: "refs/heads/main", New: strings.Repeat("a", 40)},
			{Kind: "ref", Name: "refs/heads/evil\x1b[2J", Old: strings.Repeat("a", 40), New: strings.Repeat("b", 40), Refused: "it is elsewhere"},
		}},
		{Index: 5, Term: 2, UnixMs: 1_700_000_001_000, Signer: did, Refused: "signed for entries 1 to 4, this is 5"},
	}}, nil
}

func (n *fakeNode) Why(_ context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	return &pb.WhyReply{Repo: r, Reasons: []*pb.Reason{
		{What: "it leads"}, {What: "the disk is full", Hint: "make room", Refuses: true},
	}}, nil
}

func (n *fakeNode) Verify(_ context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return err
	}
	said := []*pb.VerifyReply{{Peer: "12D3KooWfake1", Progress: "checking"}, {Peer: "12D3KooWfake1", Done: true, Index: 5, LogFirst: 2, Refs: 1}}
	if q.GetDeep() {
		said = append(said, &pb.VerifyReply{Peer: "12D3KooWfake2", Done: true, Index: 5, Findings: []*pb.Finding{
			{Part: "objects", Detail: "missing blob"}, {Part: "refs", Detail: "refs/heads/x is in git and not in the table", Mended: true},
		}}, &pb.VerifyReply{Peer: r.GetLeader(), Done: true, Error: "no answer"})
	}
	for _, v := range said {
		if err := emit(v); err != nil {
			return err
		}
	}
	return nil
}

func (n *fakeNode) Watch(ctx context.Context, q *pb.WatchRequest, emit func(*pb.Event) error) error {
	if q.Since != nil && q.GetSince() >= 2 {
		if err := emit(&pb.Event{Repo: q.GetRepo(), Name: "demo", Kind: "leader", Index: 2, Term: 2}); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	}
	if err := emit(&pb.Event{Repo: firstSet(q.GetRepo(), "all"), Name: "demo", Kind: "commit", Index: 2, Term: 1, Leader: n.cfg.Key.PeerID().String(), Refs: []*pb.RefChange{
		{Name: "refs/heads/main", New: strings.Repeat("a", 40)},
		{Name: "refs/heads/evil\x1b[2J", Old: strings.Repeat("a", 40), New: strings.Repeat("b", 40)},
		{Name: "refs/heads/gone", Old: strings.Repeat("b", 40)},
	}}); err != nil {
		return err
	}
	if err := emit(&pb.Event{Repo: firstSet(q.GetRepo(), "all"), Name: "demo", Kind: "leader", Index: 2, Term: 2}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

func (n *fakeNode) Session(context.Context, string, bool) (wire.Session, error) {
	return wire.Session{}, &control.Error{Code: wire.FailureCode_FAILURE_NO_QUORUM, Message: "the fake node has no replicas"}
}

func (n *fakeNode) Invite(context.Context, *pb.InviteRequest) (*pb.InviteReply, error) {
	return nil, errors.New("a fake has no door")
}

func (n *fakeNode) ListInvitations(context.Context, *pb.ListInvitationsRequest) (*pb.ListInvitationsReply, error) {
	return nil, errors.New("a fake has no door")
}

func (n *fakeNode) Withdraw(context.Context, *pb.WithdrawRequest) (*pb.WithdrawReply, error) {
	return nil, errors.New("a fake has no door")
}

func (n *fakeNode) ChangePolicy(_ context.Context, q *pb.ChangePolicyRequest) (*pb.Repo, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	change, err := parsePolicyChange(q)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	public := n.cfg.User.Public()
	now := &wire.Policy{Version: 1, Grants: []*wire.Grant{{Key: public[:], Access: wire.Access_ACCESS_OWNER}}}
	for _, g := range r.GetPolicy().GetGrants()[min(1, len(r.GetPolicy().GetGrants())):] {
		key, _ := identity.ParseOwner(g.GetKey())
		role, _ := parseRole(g.GetRole())
		now.Grants = append(now.Grants, &wire.Grant{Key: key[:], Access: role})
	}
	for _, p := range r.GetPolicy().GetProtections() {
		now.Protections = append(now.Protections, &wire.Protection{Pattern: p.GetPattern(), NoForce: p.GetNoForce()})
	}
	c, err := change(node.Info{Genesis: &replica.Genesis{Owner: public, Name: r.GetName()}, Policy: now})
	if err != nil {
		return nil, err
	}
	for _, g := range c.GetSet() {
		now.Grants = slices.DeleteFunc(now.Grants, func(have *wire.Grant) bool { return string(have.GetKey()) == string(g.GetKey()) })
		if g.GetAccess() != wire.Access_ACCESS_NONE {
			now.Grants = append(now.Grants, g)
		}
	}
	now.Protections = slices.DeleteFunc(now.Protections, func(p *wire.Protection) bool { return slices.Contains(c.GetUnprotect(), p.GetPattern()) })
	now.Protections = append(now.Protections, c.GetProtect()...)
	r.Policy = pbPolicy(now)
	return r, nil
}

func (n *fakeNode) SetHead(_ context.Context, q *pb.SetHeadRequest) (*pb.Repo, error) {
	r, err := n.find(q.GetRepo())
	if err != nil {
		return nil, err
	}
	branch, err := node.BranchRef(q.GetBranch())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	r.Head = branch
	return r, nil
}

func (n *fakeNode) Configure(context.Context, *pb.ConfigureRequest) (*pb.Repo, error) {
	return &pb.Repo{}, nil
}

func (n *fakeNode) RemoveRepo(context.Context, *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error) {
	return &pb.RemoveRepoReply{}, nil
}

func (n *fakeNode) AddHook(context.Context, *pb.AddHookRequest) (*pb.Hook, error) {
	return nil, errors.New("a fake tells nobody")
}

func (n *fakeNode) ListHooks(context.Context, *pb.ListHooksRequest) (*pb.ListHooksReply, error) {
	return nil, errors.New("a fake tells nobody")
}

func (n *fakeNode) RemoveHook(context.Context, *pb.RemoveHookRequest) (*pb.RemoveHookReply, error) {
	return nil, errors.New("a fake tells nobody")
}

func (n *fakeNode) TestHook(context.Context, *pb.TestHookRequest) (*pb.TestHookReply, error) {
	return nil, errors.New("a fake tells nobody")
}
