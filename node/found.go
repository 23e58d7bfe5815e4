package node

import (
	"bytes"
	"context"
	"fmt"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

func (n *Node) serveCreate(from identity.PeerID, s wire.Stream, req *wire.Create) error {
	g, err := replica.ParseGenesis(req.GetGenesis())
	if err != nil {
		return errBadRequest("%v", err)
	}
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	if err := n.takePart(ctx, g, from); err != nil {
		return err
	}
	return done(s)
}

// takePart founds this node's replica, as from asks. Only the disk that drew the nonce
// may: a node whose disk was replaced must not vote under its old seat.
func (n *Node) takePart(ctx context.Context, g *replica.Genesis, from identity.PeerID) error {
	errNoSeat := failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "this disk did not take the seat that the genesis names", "")
	n.founding.Lock()
	defer n.founding.Unlock()
	seat, ok := g.Membership().Member(n.self)
	if !ok {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "the genesis gives this node no seat", "")
	}
	if n.hides(g.Repo, from) {
		return errNoSeat
	}
	if have := n.group(g.Repo); have != nil {
		if have.genesis.Hash == g.Hash {
			return nil // a repeated request
		}
		return failure(wire.FailureCode_FAILURE_GENESIS, fmt.Sprintf(
			"repository %s has two geneses, %s here and %s", g.Name, have.genesis.Hash, g.Hash),
			"its owner signed both; ask the owner which one counts")
	}
	if n.taken(g.Repo) {
		return n.errMissing(g.Repo, from)
	}
	nonce, ok, err := n.cfg.Store.Seat(g.Repo)
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(nonce, seat.Nonce) {
		return errNoSeat
	}
	if err := n.rules.CheckRefName(g.DefaultBranch); err != nil {
		return errBadRequest("default branch: %v", err)
	}
	// What can fail does so before anything is saved: a group that is saved must open.
	if _, err := git.Create(ctx, repoDir(n.cfg.ReposDir, g), git.Format(g.ObjectFormat), g.DefaultBranch); err != nil {
		return err
	}
	return n.found(ctx, g)
}

// found saves what a replica begins with, and opens it. The caller holds founding.
func (n *Node) found(ctx context.Context, g *replica.Genesis) error {
	// What an earlier replica left behind does not concern this one.
	for _, key := range []string{publishedKey(g.Repo), leftKey(g.Repo)} {
		if err := n.cfg.Store.Put(key, nil); err != nil {
			return err
		}
	}
	if err := n.cfg.Store.Save([]replica.Save{g.Found(n.rules)}); err != nil {
		n.fail(err)
		return err
	}
	n.cfg.Fail(failFounded)
	group, err := n.openGroup(ctx, g.Repo)
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.groups[g.Repo] = group
	n.mu.Unlock()
	n.meet(group)
	n.log.Info("repository founded", "repo", g.Name, "id", g.Repo.Short())
	group.protectMembers()
	n.post(func() { group.seek(foundingGrace) })
	n.freshen(group)
	return nil
}

// missedGroup looks into a message for a group that this node does not have. If
// it holds a seat there, the founding was interrupted: fetch the genesis.
func (n *Node) missedGroup(from identity.PeerID, repo identity.RepoID) {
	if _, ok, err := n.cfg.Store.Seat(repo); err != nil || !ok {
		return
	}
	if _, asking := n.missed.LoadOrStore(repo, true); asking {
		return
	}
	n.spawn(func() {
		defer n.missed.Delete(repo)
		n.joinMissed(from, repo)
	})
}

func (n *Node) joinMissed(from identity.PeerID, repo identity.RepoID) {
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	asking, stop := context.WithTimeout(ctx, probeTimeout)
	defer stop()
	r, err := n.tell(asking, from, &wire.GroupRequest{Kind: &wire.GroupRequest_Where{Where: &wire.Where{Repo: repo[:]}}})
	if err != nil {
		return
	}
	g, err := replica.ParseGenesis(r.GetWhere().GetGenesis())
	if err == nil && g.Repo == repo {
		if at := r.GetWhere(); at.GetMembersIndex() > g.Membership().Index {
			err = n.join(ctx, g, at)
		} else {
			err = n.takePart(ctx, g, from)
		}
	}
	if err != nil {
		n.log.Warn("cannot take part in a group", "repo", repo.Short(), "error", err)
	}
}
