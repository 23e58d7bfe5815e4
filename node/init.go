package node

import (
	"context"
	"fmt"
	"time"

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
	DefaultBranch string            // with or without refs/heads/; empty: main
	Private       bool
}

const defaultReplicas = 3

// Init creates a repository owned by this home's user: it finds nodes for it,
// takes a seat on each, and founds the group once all seats are taken. Nothing
// stays behind when it fails but seats, which are forgotten after an hour.
func (n *Node) Init(ctx context.Context, o InitOptions) (Info, error) {
	if err := n.checkInit(&o); err != nil {
		return Info{}, err
	}
	repo := identity.NewRepoID(n.cfg.User.Public(), o.Name)
	if existing := n.existing(ctx, repo, o.Private); existing != nil {
		return Info{}, failure(wire.FailureCode_FAILURE_BAD_REQUEST,
			fmt.Sprintf("you have a repository %s already", existing.Name),
			"choose another name, or use it: git clone "+addressOf(existing).URL())
	}
	peers, err := n.place(ctx, repo, o)
	if err != nil {
		return Info{}, err
	}
	members, err := n.takeSeats(ctx, repo, o.Name, peers)
	if err != nil {
		return Info{}, err
	}
	public := n.cfg.User.Public()
	genesis, err := replica.NewGenesis(n.cfg.User, &wire.Genesis{
		Owner: public[:], Name: o.Name, ObjectFormat: o.ObjectFormat,
		DefaultBranch: o.DefaultBranch, Members: members,
		Policy: &wire.Policy{Version: 1}, CreatedUnixMs: time.Now().UnixMilli(), Private: o.Private,
	})
	if err != nil {
		return Info{}, explainLocked(err)
	}
	if err := n.create(ctx, genesis); err != nil {
		return Info{}, err
	}
	return n.awaitFounded(ctx, genesis)
}

// existing is a repository that has the ID already. About one that is to be private
// nobody is asked: the question would name it.
func (n *Node) existing(ctx context.Context, repo identity.RepoID, private bool) *replica.Genesis {
	if private {
		if g := n.knownGenesis(repo); g != nil {
			return g
		}
		return n.recall(repo)
	}
	g, err := n.locate(ctx, repo)
	if err != nil {
		return nil
	}
	return g
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
	var err error
	o.DefaultBranch, err = BranchRef(o.DefaultBranch)
	return err
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
