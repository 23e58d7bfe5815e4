package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// InitOptions say what repository to create.
type InitOptions struct {
	Name          string
	Replicas      int               // 0: three
	On            []identity.PeerID // empty: placement chooses
	ObjectFormat  string            // empty: sha1
	DefaultBranch string            // empty: main
}

const defaultReplicas = 3

// seatAge is how long a seat waits for the genesis that claims it.
const seatAge = time.Hour

// Init creates a repository owned by this home's key: it finds nodes for it,
// takes a seat on each, and founds the group once all seats are taken. Nothing
// stays behind when it fails but seats, which are forgotten after an hour.
func (n *Node) Init(ctx context.Context, o InitOptions) (Info, error) {
	if err := n.checkInit(&o); err != nil {
		return Info{}, err
	}
	repo := identity.NewRepoID(n.cfg.Key.Public(), o.Name)
	if existing, err := n.locate(ctx, repo); err == nil {
		return Info{}, failure(wire.FailureCode_FAILURE_BAD_REQUEST,
			fmt.Sprintf("you have a repository %s already", existing.Name),
			"choose another name, or use it: git clone "+addressOf(existing).URL())
	}
	peers, err := n.place(ctx, repo, o)
	if err != nil {
		return Info{}, err
	}
	members, err := n.takeSeats(ctx, repo, peers)
	if err != nil {
		return Info{}, err
	}
	public := n.cfg.Key.Public()
	genesis, err := replica.NewGenesis(n.cfg.Key, &wire.Genesis{
		Owner: public[:], Name: o.Name, ObjectFormat: o.ObjectFormat,
		DefaultBranch: "refs/heads/" + o.DefaultBranch, Members: members,
		Policy: &wire.Policy{Version: 1}, CreatedUnixMs: time.Now().UnixMilli(),
	})
	if err != nil {
		return Info{}, err
	}
	if err := n.create(ctx, genesis); err != nil {
		return Info{}, err
	}
	return n.awaitFounded(ctx, genesis)
}

func (n *Node) checkInit(o *InitOptions) error {
	if err := identity.CheckName(o.Name); err != nil {
		return failure(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "for example: peer init demo")
	}
	if len(o.On) > 0 && o.Replicas == 0 {
		o.Replicas = len(o.On)
	}
	setDefault(&o.Replicas, defaultReplicas)
	setDefault(&o.ObjectFormat, replica.SHA1)
	setDefault(&o.DefaultBranch, "main")
	if err := checkReplicas(o); err != nil {
		return err
	}
	if o.ObjectFormat != replica.SHA1 && o.ObjectFormat != replica.SHA256 {
		return failure(wire.FailureCode_FAILURE_BAD_REQUEST, fmt.Sprintf("unknown object format %.40q", o.ObjectFormat), "use sha1 or sha256")
	}
	if err := n.rules.CheckRefName("refs/heads/" + o.DefaultBranch); err != nil {
		return failure(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), "for example: --default-branch main")
	}
	return nil
}

func checkReplicas(o *InitOptions) error {
	refused := func(hint, format string, args ...any) error {
		return failure(wire.FailureCode_FAILURE_BAD_REQUEST, fmt.Sprintf(format, args...), hint)
	}
	switch {
	case o.Replicas < 1 || o.Replicas > replica.MembersMax:
		return refused("use --replicas 1, 3, 5 or 7", "%d replicas: a group has 1 to %d", o.Replicas, replica.MembersMax)
	case o.Replicas%2 == 0:
		return refused("use --replicas 1, 3, 5 or 7", "%d replicas: an even number survives no more failures than one less", o.Replicas)
	case len(o.On) > 0 && len(o.On) != o.Replicas:
		return refused("name as many nodes as replicas", "--on names %d nodes for %d replicas", len(o.On), o.Replicas)
	}
	named := map[identity.PeerID]bool{}
	for _, p := range o.On {
		if named[p] {
			return refused("name each node once: two replicas on one disk are one", "--on names %s twice", p)
		}
		named[p] = true
	}
	return nil
}

// takeSeats has every chosen node draw its nonce.
func (n *Node) takeSeats(ctx context.Context, repo identity.RepoID, peers []identity.PeerID) ([]*wire.Member, error) {
	members := make([]*wire.Member, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			nonce, err := n.takeSeat(ctx, repo, p)
			if err != nil {
				errs[i] = fmt.Errorf("node %s: %w", p, err)
			}
			members[i] = &wire.Member{RaftId: uint64(i + 1), Peer: []byte(p), Nonce: nonce}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, failure(wire.FailureCode_FAILURE_NO_QUORUM, "not every chosen node takes the repository: "+err.Error(),
			"nothing was created; see which nodes answer: peer status")
	}
	return members, nil
}

func (n *Node) takeSeat(ctx context.Context, repo identity.RepoID, peer identity.PeerID) ([]byte, error) {
	if peer == n.self {
		return n.prepare(ctx, repo, "", 0)
	}
	r, err := n.tell(ctx, peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Prepare{Prepare: &wire.Prepare{Repo: repo[:]}}})
	return r.GetPrepare().GetNonce(), err
}

// prepare takes a seat on this node: the nonce is on disk before anyone hears of
// it. A replica that lost what it acknowledged makes room for the new seat, if a
// member of its group says which one it has.
func (n *Node) prepare(ctx context.Context, repo identity.RepoID, from identity.PeerID, insteadOf uint64) ([]byte, error) {
	if b := n.brokenGroup(repo); b != nil {
		return nil, failure(wire.FailureCode_FAILURE_BAD_REQUEST, "this node holds a replica that does not open: "+withoutPaths(b.err), "")
	}
	if !n.probed().GetWilling() {
		return nil, failure(wire.FailureCode_FAILURE_DISK, "the node's disk has too little room", "")
	}
	n.founding.Lock()
	defer n.founding.Unlock()
	if g := n.group(repo); g != nil {
		if err := n.makeRoom(ctx, g, from, insteadOf); err != nil {
			return nil, err
		}
	}
	// A seat that somebody may be about to claim is not drawn anew.
	if nonce, ok, err := n.cfg.Store.Seat(repo); err != nil || ok {
		return nonce, err
	}
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
	nonce, err := n.prepare(ctx, repo, from, req.GetInsteadOf())
	if err != nil {
		return err
	}
	n.log.Info("seat taken", "repo", repo.Short(), "for", from)
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Prepare{Prepare: &wire.PrepareReply{Nonce: nonce}}})
}

// create brings the genesis to all members. A majority suffices: the others
// hold a seat, and fetch the genesis when they hear of the group.
func (n *Node) create(ctx context.Context, g *replica.Genesis) error {
	errs := make([]error, len(g.Members))
	var wg sync.WaitGroup
	for i, m := range g.Members {
		wg.Go(func() {
			if m.Peer == n.self {
				errs[i] = n.takePart(ctx, g)
				return
			}
			_, errs[i] = n.tell(ctx, m.Peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Create{Create: &wire.Create{Genesis: g.Signed}}})
		})
	}
	wg.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
		}
	}
	if len(g.Members)-failed < g.Membership().Quorum() {
		return failure(wire.FailureCode_FAILURE_NO_QUORUM,
			fmt.Sprintf("only %d of %d replicas could be created: %v", len(g.Members)-failed, len(g.Members), errors.Join(errs...)),
			"try again with another name: where it was created, this one is taken")
	}
	return nil
}

func (n *Node) serveCreate(s wire.Stream, req *wire.Create) error {
	g, err := replica.ParseGenesis(req.GetGenesis())
	if err != nil {
		return errBadRequest("%v", err)
	}
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	if err := n.takePart(ctx, g); err != nil {
		return err
	}
	return done(s)
}

// takePart founds this node's replica. Only the disk that drew the nonce may: a
// node whose disk was replaced must not vote under its old seat.
func (n *Node) takePart(ctx context.Context, g *replica.Genesis) error {
	n.founding.Lock()
	defer n.founding.Unlock()
	seat, ok := g.Membership().Member(n.self)
	if !ok {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "the genesis gives this node no seat", "")
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
		return n.errMissing(g.Repo)
	}
	nonce, ok, err := n.cfg.Store.Seat(g.Repo)
	if err != nil {
		return err
	}
	if !ok || !bytes.Equal(nonce, seat.Nonce) {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "this disk did not take the seat that the genesis names", "")
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
		if seats := r.GetWhere().GetMembers(); r.GetWhere().GetMembersIndex() > g.Membership().Index {
			err = n.join(ctx, g, seats)
		} else {
			err = n.takePart(ctx, g)
		}
	}
	if err != nil {
		n.log.Warn("cannot take part in a group", "repo", repo.Short(), "error", err)
	}
}

// awaitFounded waits until the new group has a leader, so that the next command works.
func (n *Node) awaitFounded(ctx context.Context, g *replica.Genesis) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	for {
		info, err := n.Show(ctx, g.Repo)
		if err == nil && info.Leader != "" {
			return info, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-n.ctx.Done():
			return Info{}, context.Cause(n.ctx)
		case <-ctx.Done():
			return Info{}, failure(wire.FailureCode_FAILURE_NO_QUORUM, "the repository was created, but its group has no leader yet",
				"look again in a moment: peer repo show "+g.Name)
		}
	}
}
