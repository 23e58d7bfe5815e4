package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"

	"peer/identity"
	"peer/wire"
)

// place chooses the nodes: those named, or those alive, willing and with room,
// ranked by a hash of the repository and the node, so that repositories spread
// evenly and two inits agree.
func (c *Client) place(ctx context.Context, repo identity.RepoID, o InitOptions) ([]identity.PeerID, error) {
	if len(o.On) > 0 {
		return o.On, nil
	}
	if o.Replicas == 1 && c.here == nil {
		return nil, failure(wire.FailureCode_FAILURE_BAD_REQUEST, "no node runs here that could hold the one replica", "name the node: peer init "+o.Name+" --on NODE")
	}
	if o.Replicas == 1 {
		return []identity.PeerID{c.here.self}, nil
	}
	fewer := "--replicas 1"
	if c.here == nil {
		fewer = "--on NODE"
	}
	if !c.closed {
		return nil, failure(wire.FailureCode_FAILURE_NOT_ALLOWED,
			"this network is open, so its nodes are strangers and may not decide about your repository",
			"name the nodes that you trust: peer init NAME --on NODE,NODE,NODE; or use "+fewer)
	}
	candidates := c.probe(ctx)
	if len(candidates) < o.Replicas {
		return nil, failure(wire.FailureCode_FAILURE_NO_QUORUM,
			fmt.Sprintf("%d of the %d nodes that %d replicas need can take a repository now", len(candidates), o.Replicas, o.Replicas),
			"start more nodes, or use "+fewer+" (one disk, no failover)")
	}
	slices.SortFunc(candidates, func(a, b identity.PeerID) int {
		return bytes.Compare(rank(repo, b), rank(repo, a))
	})
	return candidates[:o.Replicas], nil
}

// rank is rendezvous hashing (Thaler and Ravishankar, 1996).
func rank(repo identity.RepoID, peer identity.PeerID) []byte {
	h := sha256.New()
	h.Write(repo[:])
	h.Write([]byte(peer))
	return h.Sum(nil)
}

// probe asks all connected nodes whether they can take a repository, and this one.
func (c *Client) probe(ctx context.Context) []identity.PeerID {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var willing []identity.PeerID
	if c.here != nil && c.here.probed().GetWilling() {
		willing = append(willing, c.here.self)
	}
	for _, p := range c.net.Connected() {
		wg.Go(func() {
			r, err := c.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Probe{Probe: &wire.Probe{}}})
			if err == nil && r.GetProbe().GetWilling() && r.GetProbe().GetVersion() == wire.SessionVersion {
				mu.Lock()
				defer mu.Unlock()
				willing = append(willing, p)
			}
		})
	}
	wg.Wait()
	return willing
}

// takeSeats has every chosen node draw its nonce.
func (c *Client) takeSeats(ctx context.Context, repo identity.RepoID, name string, peers []identity.PeerID) ([]*wire.Member, error) {
	members := make([]*wire.Member, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			nonce, err := c.takeSeat(ctx, repo, name, p)
			if err != nil {
				errs[i] = fmt.Errorf("node %s: %w", p, err)
			}
			members[i] = &wire.Member{RaftId: uint64(i + 1), Peer: []byte(p), Nonce: nonce}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, failure(wire.FailureCode_FAILURE_NO_QUORUM, "not every chosen node takes the repository: "+err.Error(),
			"nothing was created; see which nodes answer: peer status. Whose repositories a node takes is for its owner to say: peer node --accept")
	}
	return members, nil
}

func (c *Client) takeSeat(ctx context.Context, repo identity.RepoID, name string, peer identity.PeerID) ([]byte, error) {
	if c.here != nil && peer == c.here.self {
		return c.here.prepare(ctx, repo, "", 0)
	}
	owner := c.user.Public()
	r, err := c.tell(ctx, peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{Repo: repo[:], Owner: owner[:], Name: name}}})
	return r.GetPrepare().GetNonce(), err
}

func (n *Node) probed() *wire.ProbeReply {
	left, _ := n.room()
	return &wire.ProbeReply{Willing: left >= 0, FreeBytes: uint64(max(left, 0)), Version: wire.SessionVersion}
}
