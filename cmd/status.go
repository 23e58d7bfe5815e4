package cmd

import (
	"context"
	"io"

	"peer/node/control"
	"peer/node/control/pb"
)

type statusCmd struct {
	Repo string `arg:"" optional:"" help:"A repository; without it, the node."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// statusJSON is part of the contract with scripts.
type statusJSON struct {
	PeerID   string          `json:"peer_id"`
	DID      string          `json:"did"`
	Addrs    []string        `json:"addrs"`
	Peers    []connectedJSON `json:"peers"`
	Repos    []repoJSON      `json:"repos"`
	GRPCAddr string          `json:"grpc_addr,omitempty"` // where it listens
	GitAddr  string          `json:"git_addr,omitempty"`
	HTTPAddr string          `json:"http_addr,omitempty"`
	GitDID   string          `json:"git_did,omitempty"` // as whom the git daemon reads and pushes
	Version  string          `json:"version,omitempty"`
	Home     string          `json:"home"`
	Accept   string          `json:"accept,omitempty"` // whose repositories it takes
	Used     int64           `json:"used_bytes"`       // by all repositories
	Left     int64           `json:"left_bytes"`       // for them
}

type connectedJSON struct {
	PeerID string `json:"peer_id"`
	Addr   string `json:"addr"`
}

// Run describes the node, or a repository.
func (c *statusCmd) Run(ctx context.Context, a *app) error {
	if c.Repo != "" {
		return (&repoShowCmd{Repo: c.Repo, JSON: c.JSON}).Run(ctx, a)
	}
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		s, err := node.Status(ctx, &pb.StatusRequest{})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(a.out, statusOf(s, a.home))
		}
		return printStatus(a.out, s, a.home)
	})
}

func statusOf(s *pb.StatusReply, home *Home) statusJSON {
	out := statusJSON{
		PeerID: s.GetPeerId(), DID: s.GetDid(), Addrs: append([]string{}, s.GetAddrs()...),
		Peers: []connectedJSON{}, Repos: reposOf(s.GetRepos()),
		GRPCAddr: s.GetGrpcAddr(), GitAddr: s.GetGitAddr(), HTTPAddr: s.GetHttpAddr(), GitDID: s.GetGitDid(), Version: s.GetVersion(), Home: home.Dir,
		Accept: s.GetAccept(), Used: s.GetUsedBytes(), Left: s.GetLeftBytes(),
	}
	for _, p := range s.GetPeers() {
		out.Peers = append(out.Peers, connectedJSON{PeerID: p.GetPeerId(), Addr: p.GetAddr()})
	}
	return out
}

func printStatus(w io.Writer, s *pb.StatusReply, home *Home) error {
	return table(w, func(line func(string, ...any)) {
		line("peer ID\t%s", s.GetPeerId())
		line("DID\t%s", s.GetDid())
		line("home\t%s", home.Dir)
		for _, addr := range s.GetAddrs() {
			line("address\t%s", addr)
		}
		if s.GetGrpcAddr() != "" {
			line("gRPC\t%s", s.GetGrpcAddr())
		}
		if s.GetGitAddr() != "" {
			line("git\tgit://%s/", s.GetGitAddr())
		}
		if s.GetHttpAddr() != "" {
			line("git\thttp://%s/", s.GetHttpAddr())
		}
		if s.GetGitDid() != "" {
			line("git daemon\treads and pushes as %s", s.GetGitDid())
		}
		if s.GetAccept() != "" { // a bootstrap node takes none
			line("takes\trepositories of %s; they take %d MiB, and %d MiB are left", s.GetAccept(), s.GetUsedBytes()>>20, s.GetLeftBytes()>>20)
		}
		if len(s.GetPeers()) == 0 {
			line("peers\tnone")
		}
		for _, p := range s.GetPeers() {
			line("peer\t%s  %s", p.GetPeerId(), p.GetAddr())
		}
		if len(s.GetRepos()) == 0 {
			line("repos\tnone")
		}
		for _, r := range s.GetRepos() {
			private := ""
			if r.GetPrivate() {
				private = ", private"
			}
			line("repo\t%s  index %d, %s%s", r.GetName(), r.GetIndex(), healthOf(r), private)
		}
	})
}
