package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"peer/identity"
	"peer/wire"
)

// place chooses the nodes: those named, or those alive, willing and with room,
// ranked by a hash of the repository and the node, so that repositories spread
// evenly and two inits agree.
func (n *Node) place(ctx context.Context, repo identity.RepoID, o InitOptions) ([]identity.PeerID, error) {
	if len(o.On) > 0 {
		return o.On, nil
	}
	if o.Replicas == 1 {
		return []identity.PeerID{n.self}, nil
	}
	if !n.cfg.Closed {
		return nil, failure(wire.FailureCode_FAILURE_NOT_ALLOWED,
			"this network is open, so its nodes are strangers and may not decide about your repository",
			"name the nodes that you trust: peer init NAME --on NODE,NODE,NODE; or use --replicas 1")
	}
	candidates := n.probe(ctx)
	if len(candidates) < o.Replicas {
		return nil, failure(wire.FailureCode_FAILURE_NO_QUORUM,
			fmt.Sprintf("%d of the %d nodes that %d replicas need can take a repository now", len(candidates), o.Replicas, o.Replicas),
			"start more nodes, or use --replicas 1 (one disk, no failover)")
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

// probe asks all connected nodes whether they can take a repository.
func (n *Node) probe(ctx context.Context) []identity.PeerID {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	var willing []identity.PeerID
	if n.probed().GetWilling() {
		willing = append(willing, n.self)
	}
	for _, p := range n.cfg.Network.Connected() {
		wg.Go(func() {
			r, err := n.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Probe{Probe: &wire.Probe{}}})
			if err == nil && r.GetProbe().GetWilling() && r.GetProbe().GetVersion() == protocolVersion {
				mu.Lock()
				defer mu.Unlock()
				willing = append(willing, p)
			}
		})
	}
	wg.Wait()
	return willing
}

// protocolVersion is what this node speaks with others.
const protocolVersion = 1

func (n *Node) probed() *wire.ProbeReply {
	left, _ := n.room()
	return &wire.ProbeReply{Willing: left >= 0, FreeBytes: uint64(max(left, 0)), Version: protocolVersion}
}
