package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// A private repository is there for its members and for keys with a role. Everybody
// else gets the answer for a repository that is not there, in the same words and for
// the same work: on sessions, in the group protocol, in beats. It has no record in the
// DHT and no topic: a topic's subscribers are told to every neighbour, who may then
// subscribe as well.

// noteRoles takes in the policy in force. The loop calls it, or whoever opens the group.
func (g *group) noteRoles() {
	roles := g.core.Table().Roles()
	g.roles.Store(&roles)
}

// readableBy says whether a key may know of the repository, and read it: as of the
// last entry applied here. Members' nodes hold all of it anyway.
func (g *group) readableBy(user identity.PublicKey) bool {
	if !g.genesis.Private {
		return true
	}
	_, member := g.members().Member(user.PeerID())
	return member || (*g.roles.Load())(user) >= wire.Access_ACCESS_READER
}

// meant says whether a hello that names whom it is for may be answered here: by that
// node, or by one to which a member relays it. So who is asked about a private repository
// that it does not have, or no longer, can't ask its members in the same words. Clients
// of before name nobody.
func (n *Node) meant(g *group, h *wire.Hello, from identity.PeerID, relayed bool) bool {
	to := identity.PeerID(h.GetTo())
	if !g.genesis.Private || to == "" || to == n.self {
		return true
	}
	_, member := g.members().Member(from)
	return relayed && member && to == from
}

// hides says whether a node must not learn that there is a replica here, in whatever
// state. A node's key is its home's, which may have a role; one that had a seat may
// have to hear that it is gone.
func (n *Node) hides(repo identity.RepoID, from identity.PeerID) bool {
	if from == "" || from == n.self {
		return false
	}
	key, err := from.PublicKey()
	if g := n.group(repo); g != nil {
		return g.genesis.Private && !g.hadSeat(from) && (err != nil || !g.readableBy(key))
	}
	b := n.brokenGroup(repo)
	if b == nil {
		return false
	}
	if len(b.genesis.Members) == 0 {
		return true // nobody knows what it was
	}
	_, founder := b.genesis.Membership().Member(from)
	return b.genesis.Private && !founder && from != b.genesis.Owner.PeerID()
}

// hadSeat says whether a node has a seat, proved one, or had one that it may have to
// hear is gone.
func (g *group) hadSeat(p identity.PeerID) bool {
	if slices.Contains(g.fellows(), p) {
		return true
	}
	if _, founder := g.genesis.Membership().Member(p); founder {
		return true
	}
	if lineage := g.members().Lineage; lineage != nil && lineage.Had(p) {
		return true
	}
	former := g.former.Load()
	return former != nil && slices.Contains(*former, p)
}

// formerMax bounds whom a group remembers that left it.
const formerMax = 64

// parted notes that a node lost its seat. The loop calls it.
func (g *group) parted(p identity.PeerID) {
	list := []identity.PeerID{p}
	if before := g.former.Load(); before != nil {
		list = append(list, *before...)
	}
	list = list[:min(len(list), formerMax)]
	g.former.Store(&list)
}

// A decoy is the seat that a stranger draws where there is a private repository: where
// there is none, a seat is drawn for whoever asks. No genesis can claim it.
func decoyKey(repo identity.RepoID) string { return "decoy/" + repo.String() }

func (n *Node) decoy(repo identity.RepoID) (nonce []byte, ok bool, err error) {
	raw, ok, err := n.cfg.Store.Get(decoyKey(repo))
	if err != nil || !ok || len(raw) != 8+replica.NonceBytes {
		return nil, false, err
	}
	at := time.UnixMilli(int64(binary.BigEndian.Uint64(raw)))
	return raw[8:], time.Since(at) < seatAge, nil
}

func (n *Node) decoySeat(repo identity.RepoID) ([]byte, error) {
	if nonce, ok, err := n.decoy(repo); ok || err != nil {
		return nonce, err
	}
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, 8+replica.NonceBytes), uint64(time.Now().UnixMilli()))
	raw = raw[:8+replica.NonceBytes]
	rand.Read(raw[8:])
	return raw[8:], n.cfg.Store.Put(decoyKey(repo), raw)
}

// seatShownTo is the seat that waits for its group, as a node may see it.
func (n *Node) seatShownTo(from identity.PeerID, repo identity.RepoID) (nonce []byte, ok bool, err error) {
	if n.group(repo) != nil || n.brokenGroup(repo) != nil {
		if !n.hides(repo, from) {
			return nil, false, nil
		}
		return n.decoy(repo)
	}
	return n.cfg.Store.Seat(repo)
}

// tellFellows stands for gossip in a private group: the leader tells the other members
// where its table is, and hears where theirs are. Each compares; the last entry of a
// quiet group is followed by none that would tell.
func (n *Node) tellFellows(g *group, h *wire.Hint, again bool) {
	if h.GetIndex() == g.toldIndex && !again {
		return
	}
	g.toldIndex = h.GetIndex()
	state := &wire.StateHash{Index: h.GetIndex(), Chain: h.GetChain(), Refs: h.GetRefs()}
	ctx, cancel := context.WithTimeout(n.ctx, gossipTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range g.fellows() {
		if p == n.self || !n.cfg.Network.IsConnected(p) {
			continue
		}
		wg.Go(func() {
			r, err := n.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: g.genesis.Repo[:], State: state}}})
			if there := r.GetWhere().GetState(); err == nil && r.GetWhere().GetProblem() == "" && there != nil {
				n.post(func() { g.compare(there, p.String()+" tells") })
			}
		})
	}
	wg.Wait()
}
