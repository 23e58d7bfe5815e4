package cmd

import (
	"bytes"
	"context"
	"encoding/hex"

	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/wire"
)

// backend is the node as the control API shows it. It translates and decides nothing.
type backend struct {
	repoBackend
	cfg   NodeConfig
	parts *nodeParts
	// Of the git daemon: where it listens, and the DID under which it reads and pushes.
	git, http, gitDID string
}

func refusal(code wire.FailureCode, message, hint string) error {
	return &node.FailureError{F: &wire.Failure{Code: code, Message: message, Hint: hint}}
}

var errBootstrap = refusal(wire.FailureCode_FAILURE_BAD_REQUEST, "this is a bootstrap node: it holds no repositories", "ask a node: --home DIR names its home")

// node fails on a bootstrap node, which holds no repositories.
func (b *backend) node() (*node.Node, error) {
	if b.parts.node == nil {
		return nil, errBootstrap
	}
	return b.parts.node, nil
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
