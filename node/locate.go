package node

import (
	"context"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

func addressOf(g *replica.Genesis) identity.Address {
	return identity.Address{Owner: g.Owner, Name: g.Name}
}

func knownKey(repo identity.RepoID) string { return "genesis/" + repo.String() }

// locate finds the genesis of a repository, and so its members: here, in what
// this node has seen before, at the nodes it is connected to, in the DHT.
func (n *Node) locate(ctx context.Context, repo identity.RepoID) (*replica.Genesis, error) {
	if g := n.group(repo); g != nil {
		return g.genesis, nil
	}
	if raw, ok, err := n.cfg.Store.Get(knownKey(repo)); err == nil && ok {
		if g := parseKnown(raw, repo); g != nil {
			return g, nil
		}
	}
	g := n.askAround(ctx, repo)
	if g == nil {
		g = n.lookUp(ctx, repo)
	}
	if g == nil {
		return nil, errNotFound(repo)
	}
	if raw, err := proto.Marshal(g.Signed); err == nil {
		if err := n.cfg.Store.Put(knownKey(repo), raw); err != nil {
			n.log.Warn("genesis not remembered", "error", err)
		}
	}
	return g, nil
}

func parseKnown(raw []byte, repo identity.RepoID) *replica.Genesis {
	signed := new(wire.Signed)
	if proto.Unmarshal(raw, signed) != nil {
		return nil
	}
	g, err := replica.ParseGenesis(signed)
	if err != nil || g.Repo != repo {
		return nil
	}
	return g
}

// askAround asks every connected node. The first valid genesis counts: it is
// signed by the owner whose key is part of the repository's ID.
func (n *Node) askAround(ctx context.Context, repo identity.RepoID) *replica.Genesis {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	found := make(chan *replica.Genesis, 1)
	var wg sync.WaitGroup
	for _, p := range n.cfg.Network.Connected() {
		wg.Go(func() {
			r, err := n.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: repo[:]}}})
			if err != nil {
				return
			}
			g, err := replica.ParseGenesis(r.GetWhere().GetGenesis())
			if err != nil || g.Repo != repo {
				return
			}
			select {
			case found <- g:
				cancel() // the others need not answer
			default:
			}
		})
	}
	wg.Wait()
	select {
	case g := <-found:
		return g
	default:
		return nil
	}
}

// Session opens a stream to a replica of repo: this node's own, or another
// member's. With push set it prefers the leader.
func (n *Node) Session(ctx context.Context, repo identity.RepoID, push bool) (wire.Stream, error) {
	if g := n.group(repo); g != nil {
		return n.ownSession(g)
	}
	genesis, err := n.locate(ctx, repo)
	if err != nil {
		return nil, err
	}
	return n.memberSession(ctx, genesis)
}

// ownSession serves a session in this process.
func (n *Node) ownSession(*group) (wire.Stream, error) {
	client, server, err := streamPair()
	if err != nil {
		return nil, err
	}
	n.work.Go(func() { n.serveSession(n.self, server) })
	return client, nil
}

// memberSession opens a session at the first member that answers, connected
// ones first.
func (n *Node) memberSession(ctx context.Context, g *replica.Genesis) (wire.Stream, error) {
	net := n.cfg.Network
	var connected, others []identity.PeerID
	for _, m := range g.Members {
		switch {
		case m.Peer == n.self: // it has a seat but no replica: its disk is new
		case net.IsConnected(m.Peer):
			connected = append(connected, m.Peer)
		default:
			others = append(others, m.Peer)
		}
	}
	var last error = errNotFound(g.Repo)
	for _, p := range append(connected, others...) {
		opening, cancel := context.WithTimeout(ctx, probeTimeout+time.Second)
		s, err := net.Open(opening, p, protocolSession)
		cancel()
		if err == nil {
			return s, nil
		}
		last = err
	}
	return nil, failure(wire.FailureCode_FAILURE_NO_QUORUM, "no replica of "+g.Name+" answers: "+last.Error(), "start one of its nodes, then try again")
}
