package cmd

import (
	"context"
	"errors"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

// How long commands wait for the node. Each is longer than what the node
// allows itself for the same, so that its error arrives rather than ours.
const (
	callTimeout = 15 * time.Second
	// changeTimeout is for what is signed: its outcome is worth waiting for.
	changeTimeout = 40 * time.Second
	initTimeout   = 90 * time.Second // finds nodes, and sets up a group on them
)

// repoAPI is what a command asks about repositories: the node of the home, or where
// none runs the replicas themselves.
type repoAPI interface {
	dialer
	Init(context.Context, *pb.InitRequest) (*pb.InitReply, error)
	ShowRepo(context.Context, *pb.ShowRepoRequest) (*pb.Repo, error)
	AcquireLock(context.Context, *pb.AcquireLockRequest) (*pb.LockReply, error)
	ReleaseLock(context.Context, *pb.ReleaseLockRequest) (*pb.LockReply, error)
	Configure(context.Context, *pb.ConfigureRequest) (*pb.Repo, error)
	ChangePolicy(context.Context, *pb.ChangePolicyRequest) (*pb.Repo, error)
	SetHead(context.Context, *pb.SetHeadRequest) (*pb.Repo, error)
	RemoveRepo(context.Context, *pb.RemoveRepoRequest) (*pb.RemoveRepoReply, error)
	Log(context.Context, *pb.LogRequest) (*pb.LogReply, error)
	Why(context.Context, *pb.WhyRequest) (*pb.WhyReply, error)
	Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error
}

var (
	_ repoAPI = (*control.Client)(nil)
	_ repoAPI = (*loneClient)(nil)
)

// call runs do with the node of the home, for what is about that node.
func (a *app) call(ctx context.Context, timeout time.Duration, do func(context.Context, *control.Client) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return do(ctx, node)
}

// ask runs do with whom to ask about repositories. signs says that something is signed
// in the user's name. most: 0 is as long as it takes.
func (a *app) ask(ctx context.Context, most time.Duration, signs bool, do func(context.Context, repoAPI) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	from, done, err := home.reach(ctx, signs)
	if err != nil {
		return err
	}
	defer done()
	asking, cancel := ctx, func() {}
	if most > 0 {
		asking, cancel = context.WithTimeout(ctx, most)
	}
	defer cancel()
	err = do(asking, from)
	if _, alone := from.(*loneClient); alone && exitCode(err) == exitNotFound && home.hadNode() {
		err = &fault{err: err, hint: "this home's own node does not run, and may hold it: peer node --home " + shellQuote(home.Dir), exit: exitNotFound}
	}
	if err != nil && ctx.Err() != nil && exitCode(err) != exitUnknown {
		return ctx.Err() // a search that is interrupted finds nothing
	}
	return err
}

// reach finds whom to ask about repositories, until done.
func (h *Home) reach(ctx context.Context, signs bool) (from repoAPI, done func(), err error) {
	node, err := h.Dial(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		alone, err := h.reachAlone(ctx, err)
		if err != nil {
			return nil, nil, err
		}
		return alone, func() { _ = alone.Close() }, nil
	}
	if err != nil {
		return nil, nil, err
	}
	detach := func() {}
	if signs {
		if detach, err = h.signFor(ctx, node); err != nil {
			_ = node.Close()
			return nil, nil, err
		}
	}
	return node, func() { detach(); _ = node.Close() }, nil
}

// signFor signs in the user's name for the node, which does so itself unless the
// key is encrypted or in an agent. A passphrase is asked for now: the time that
// the node is given begins later.
func (h *Home) signFor(ctx context.Context, node *control.Client) (done func(), err error) {
	u, err := h.userKey()
	if err != nil {
		return nil, err
	}
	if u.Place != inSealed && u.Place != inAgent {
		return func() {}, nil
	}
	signer := h.signerOf(u)
	if err := unlock(signer); err != nil {
		return nil, err
	}
	return node.AttachSigner(ctx, signer)
}

// callRepo is ask for a command that looks at one repository. repo is its spelling for who is asked.
func (a *app) callRepo(ctx context.Context, arg string, do func(ctx context.Context, from repoAPI, repo string) error) error {
	return a.callRepoFor(ctx, callTimeout, false, arg, do)
}

// changeRepo is callRepo for a command that has something signed.
func (a *app) changeRepo(ctx context.Context, arg string, do func(ctx context.Context, from repoAPI, repo string) error) error {
	return a.callRepoFor(ctx, changeTimeout, true, arg, func(ctx context.Context, from repoAPI, repo string) error {
		return unanswered(do(ctx, from, repo), arg)
	})
}

// unanswered says of a change for which the node had no answer in time what is known: it
// may have been committed.
func unanswered(err error, arg string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &control.Error{
		Code: wire.FailureCode_FAILURE_NO_QUORUM, Unknown: true,
		Message: "the node did not answer in time, and whether the change of " + arg + " was committed is not known",
		Hint:    "look before you type it again: peer log " + shellQuote(arg),
	}
}

// callRepoFor is callRepo for a command that may take longer, or has something signed.
func (a *app) callRepoFor(ctx context.Context, most time.Duration, signs bool, arg string, do func(ctx context.Context, from repoAPI, repo string) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	ref, err := home.ResolveRepo(arg)
	if err != nil {
		return err
	}
	return a.ask(ctx, most, signs, func(ctx context.Context, from repoAPI) error {
		return do(ctx, from, ref.String())
	})
}
