package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
func (c *Client) Init(ctx context.Context, o InitOptions) (Info, error) {
	if err := o.check(); err != nil {
		return Info{}, err
	}
	repo := identity.NewRepoID(c.user.Public(), o.Name)
	if existing := c.existing(ctx, repo, o.Private); existing != nil {
		return Info{}, failure(wire.FailureCode_FAILURE_BAD_REQUEST,
			fmt.Sprintf("you have a repository %s already", existing.Name),
			"choose another name, or use it: git clone "+addressOf(existing).URL())
	}
	peers, err := c.place(ctx, repo, o)
	if err != nil {
		return Info{}, err
	}
	members, err := c.takeSeats(ctx, repo, o.Name, peers)
	if err != nil {
		return Info{}, err
	}
	public := c.user.Public()
	genesis, err := replica.NewGenesis(c.user, &wire.Genesis{
		Owner: public[:], Name: o.Name, ObjectFormat: o.ObjectFormat,
		DefaultBranch: o.DefaultBranch, Members: members,
		Policy: &wire.Policy{Version: 1}, CreatedUnixMs: time.Now().UnixMilli(), Private: o.Private,
	})
	if err != nil {
		return Info{}, explainLocked(err)
	}
	if err := c.create(ctx, genesis); err != nil {
		return Info{}, err
	}
	return c.awaitFounded(ctx, genesis)
}

// existing is a repository that has the ID already. About one that is to be private
// nobody is asked: the question would name it.
func (c *Client) existing(ctx context.Context, repo identity.RepoID, private bool) *replica.Genesis {
	if private {
		return c.known(repo)
	}
	g, err := c.locate(ctx, repo)
	if err != nil {
		return nil
	}
	return g
}

func (o *InitOptions) check() error {
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

// create brings the genesis to all members. A majority suffices: the others
// hold a seat, and fetch the genesis when they hear of the group.
func (c *Client) create(ctx context.Context, g *replica.Genesis) error {
	errs := make([]error, len(g.Members))
	var wg sync.WaitGroup
	for i, m := range g.Members {
		wg.Go(func() {
			if c.here != nil && m.Peer == c.here.self {
				errs[i] = c.here.takePart(ctx, g, m.Peer)
				return
			}
			_, errs[i] = c.tell(ctx, m.Peer, &wire.GroupRequest{Kind: &wire.GroupRequest_Create{Create: &wire.Create{Genesis: g.Signed}}})
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

// awaitFounded waits until the new group has a leader, so that the next command works.
func (c *Client) awaitFounded(ctx context.Context, g *replica.Genesis) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	var stopped <-chan struct{}
	if c.here != nil {
		stopped = c.here.Done()
	}
	for {
		info, err := c.Show(ctx, g.Repo)
		if err == nil && info.Leader != "" {
			return info, nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-stopped:
			return Info{}, c.here.Err()
		case <-ctx.Done():
			return Info{}, failure(wire.FailureCode_FAILURE_NO_QUORUM, "the repository was created, but its group has no leader yet",
				"look again in a moment: peer repo show "+g.Name)
		}
	}
}
