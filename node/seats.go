package node

import (
	"context"
	"crypto/rand"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// seatAge is how long a seat waits for the genesis that claims it.
const seatAge = time.Hour

// How many seats may wait that others asked for: of one node, and of all that share no
// group with this one. An owner who founds many repositories claims each at once, and
// then it waits no more; whoever names other people's repositories can't claim any.
const (
	seatsEach    = 256
	seatsStrange = 2048
)

// waitingSeat is one that was drawn for another node. What was drawn before this node
// started does not count.
type waitingSeat struct {
	from identity.PeerID
	at   time.Time
	// decoy is one that no genesis claims. It counts for as long as any, or it would tell
	// what it hides.
	decoy bool
}

// admitSeat counts a seat that is about to be drawn, or refuses to. The caller holds
// founding.
func (n *Node) admitSeat(repo identity.RepoID, from identity.PeerID, decoy bool) error {
	if from == "" {
		return nil
	}
	each, strange := 0, 0
	for other, w := range n.waiting {
		if time.Since(w.at) > seatAge || !w.decoy && n.taken(other) {
			delete(n.waiting, other)
			continue
		}
		if w.from == from {
			each++
		}
		if !n.sharesGroup(w.from) {
			strange++
		}
	}
	if each >= seatsEach || strange >= seatsStrange && !n.sharesGroup(from) {
		return failure(wire.FailureCode_FAILURE_BUSY, "too many seats on this node wait for their repositories", "nothing was created; try again later")
	}
	n.waiting[repo] = waitingSeat{from, time.Now(), decoy}
	return nil
}

// prepare takes a seat on this node: the nonce is on disk before anyone hears of
// it. A replica that lost what it acknowledged makes room for the new seat, if a
// member of its group says which one it has.
func (n *Node) prepare(ctx context.Context, repo identity.RepoID, from identity.PeerID, insteadOf uint64) ([]byte, error) {
	hidden := n.hides(repo, from)
	if b := n.brokenGroup(repo); b != nil && !hidden {
		return nil, failure(wire.FailureCode_FAILURE_BAD_REQUEST, "this node holds a replica that does not open: "+withoutPaths(b.err), "")
	}
	if !n.probed().GetWilling() {
		_, why := n.room()
		return nil, failure(wire.FailureCode_FAILURE_DISK, "the node has too little room: "+why, "")
	}
	n.founding.Lock()
	defer n.founding.Unlock()
	seat, draw, counts := n.cfg.Store.Seat, n.drawSeat, true
	if hidden {
		seat, draw = n.decoy, n.decoySeat
	} else if g := n.group(repo); g != nil {
		if err := n.makeRoom(ctx, g, from, insteadOf); err != nil {
			return nil, err
		}
		counts = false // it takes the place of one that was there
	}
	// A seat that somebody may be about to claim is not drawn anew.
	if nonce, ok, err := seat(repo); err != nil || ok {
		return nonce, err
	}
	if counts {
		if err := n.admitSeat(repo, from, hidden); err != nil {
			return nil, err
		}
	}
	return draw(repo)
}

func (n *Node) drawSeat(repo identity.RepoID) ([]byte, error) {
	nonce := make([]byte, replica.NonceBytes)
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	if err := n.cfg.Store.PutSeat(repo, nonce, time.Now()); err != nil {
		return nil, err
	}
	n.cfg.Fail(failSeat)
	return nonce, nil
}

// makeRoom drops a replica that takes no part any more and whose seat its group
// gives up. Its objects stay: the new one will need most of them.
func (n *Node) makeRoom(ctx context.Context, g *group, from identity.PeerID, insteadOf uint64) error {
	_, problem, err := g.state(ctx)
	if err != nil {
		return err
	}
	_, fellow := g.members().Member(from)
	if !fellow || !isLoss(problem) || insteadOf != g.raftID {
		return failure(wire.FailureCode_FAILURE_BAD_REQUEST, "the repository exists already on this node", "")
	}
	g.log.Warn("a replica that lost its place makes room for a new one", "problem", problem, "seat", insteadOf)
	return n.dropReplica(ctx, g, problem)
}

func (n *Node) servePrepare(from identity.PeerID, s wire.Stream, req *wire.Prepare) error {
	repo, err := identity.RepoIDFromBytes(req.GetRepo())
	if err != nil {
		return errBadRequest("%v", err)
	}
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	if err := n.mayHost(repo, req.GetOwner(), req.GetName()); err != nil {
		return err
	}
	nonce, err := n.prepare(ctx, repo, from, req.GetInsteadOf())
	if err != nil {
		return err
	}
	n.log.Debug("seat taken", "repo", repo.Short(), "for", from)
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Prepare{Prepare: &wire.PrepareReply{Nonce: nonce}}})
}
