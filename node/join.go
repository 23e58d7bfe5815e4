package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// joinedKey is where a node keeps who had seats when it took one in a group that
// had been founded before. It counts until the node's own log says the same.
func joinedKey(repo identity.RepoID) string { return "joined/" + repo.String() }

// errSeatLost: this disk is not the one that has the seat. It must not vote.
var errSeatLost = errors.New("this disk is not the one that took the seat in the group")

// seat is what a replica knows of its own seat when it starts.
type seat struct {
	raftID     uint64
	introduced []replica.Member // seats that its log may not name yet
	proved     *replica.Lineage // that proves them
	problem    error
}

// seatOf finds this node's seat by the nonce in its store: in the table, among
// those that it was told of when it joined, and in the genesis.
func (n *Node) seatOf(table *replica.Table) (seat, error) {
	g := table.Genesis()
	nonce, ok, err := n.cfg.Store.Seat(g.Repo)
	if err != nil {
		return seat{}, err
	}
	proved, joined, err := n.loadJoined(g)
	if err != nil {
		return seat{}, err
	}
	s := seat{introduced: joined, proved: proved}
	for _, list := range [][]replica.Member{table.Membership().Members, joined, g.Members} {
		for _, m := range list {
			if m.Peer != n.self {
				continue
			}
			if ok && bytes.Equal(m.Nonce, nonce) {
				s.raftID, s.problem = m.RaftID, nil
				return s, nil
			}
			s.raftID, s.problem = m.RaftID, errSeatLost
		}
	}
	return s, nil
}

func (n *Node) loadJoined(g *replica.Genesis) (*replica.Lineage, []replica.Member, error) {
	raw, ok, err := n.cfg.Store.Get(joinedKey(g.Repo))
	if err != nil || !ok || len(raw) == 0 {
		return nil, nil, err
	}
	at := new(wire.WhereReply)
	if err := proto.Unmarshal(raw, at); err != nil {
		return nil, nil, fmt.Errorf("who had seats when this node joined: %w", err)
	}
	return seatsAt(g, at)
}

// seatsAt checks who has seats, as another node says, and the lineage that proves
// it: nobody who is not certified has a vote there.
func seatsAt(g *replica.Genesis, at *wire.WhereReply) (*replica.Lineage, []replica.Member, error) {
	proved, err := replica.ParseLineage(g, at.GetLineage())
	if err != nil {
		return nil, nil, err
	}
	seats, err := proved.ParseSeats(at.GetMembers())
	if err == nil {
		err = proved.CheckVoters(&replica.Membership{Members: seats})
	}
	return proved, seats, err
}

// join takes the seat that a group gave to this node: as a learner that has
// nothing yet. The leader sees to the rest.
func (n *Node) join(ctx context.Context, g *replica.Genesis, at *wire.WhereReply) error {
	_, members, err := seatsAt(g, at)
	if err != nil {
		return errBadRequest("%v", err)
	}
	n.founding.Lock()
	defer n.founding.Unlock()
	if n.taken(g.Repo) {
		return nil
	}
	nonce, ok, err := n.cfg.Store.Seat(g.Repo)
	if err != nil {
		return err
	}
	own := replica.Membership{Members: members}
	if seat, named := own.Member(n.self); !ok || !named || !bytes.Equal(seat.Nonce, nonce) {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "this disk did not take the seat that the group names", "")
	}
	record, err := proto.Marshal(&wire.WhereReply{Members: at.GetMembers(), Lineage: at.GetLineage()})
	if err != nil {
		return err
	}
	if _, err := git.Create(ctx, repoDir(n.cfg.ReposDir, g), git.Format(g.ObjectFormat), g.DefaultBranch); err != nil {
		return err
	}
	// The seat is known before the group is there to use it.
	if err := n.cfg.Store.Put(joinedKey(g.Repo), record); err != nil {
		return err
	}
	return n.found(ctx, g)
}

// whereNone answers for a repository without a group here. A seat may wait for its
// group; which one, only those know that drew its nonce.
func (n *Node) whereNone(from identity.PeerID, s wire.Stream, repo identity.RepoID) error {
	nonce, ok, err := n.seatShownTo(from, repo)
	if err != nil || !ok {
		return errors.Join(n.errMissing(repo, from), err)
	}
	sum := sha256.Sum256(nonce)
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Where{Where: &wire.WhereReply{Waits: sum[:]}}})
}

// introduceSender asks a node whose messages come from a seat that is not known
// here for the proof of it: this member is behind the entry that gave the seat.
func (g *group) introduceSender(from identity.PeerID, raftID uint64) {
	if at, asked := g.asked[from]; asked && g.n.loop.ticks < at+askTicks || len(g.asked) >= askedMax {
		return
	}
	g.asked[from] = g.n.loop.ticks
	g.n.spawn(func() {
		ctx, cancel := context.WithTimeout(g.n.ctx, probeTimeout)
		defer cancel()
		at, err := g.n.whereAt(ctx, from, g.genesis.Repo)
		var found *replica.Member
		var proved *replica.Lineage
		if err == nil {
			var seats []replica.Member
			if proved, seats, err = seatsAt(g.genesis, at); err == nil {
				ms := &replica.Membership{Members: seats}
				if m, ok := ms.Seat(raftID); ok && m.Peer == from {
					found = &m
				}
			}
		}
		g.n.post(func() {
			if found != nil {
				delete(g.asked, from)
			} else {
				g.n.spawn(func() { g.forgetAsked(from) })
			}
			if found == nil || g.problem != nil {
				return
			}
			if err := g.introduce(proved, *found); err != nil {
				g.log.Debug("sender not introduced", "peer", from, "seat", raftID, "error", err)
				return
			}
			g.n.meet(g)
			g.n.cfg.Network.Protect(from, true)
		})
	})
}

// askTicks is how long a group waits before it asks who a sender is again, and
// askedMax how many senders it asks at a time.
const (
	askTicks = 5
	askedMax = 32
)

// forgetAsked makes room for others, a while after a sender proved nothing.
func (g *group) forgetAsked(from identity.PeerID) {
	select {
	case <-time.After(probeTimeout):
		g.n.post(func() { delete(g.asked, from) })
	case <-g.n.ctx.Done():
	}
}
