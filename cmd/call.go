package cmd

import (
	"context"
	"errors"
	"time"

	"peer/identity"
	"peer/node/control"
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

// call runs do with the node of the home.
func (a *app) call(ctx context.Context, timeout time.Duration, do func(context.Context, *control.Client) error) error {
	return a.callNode(ctx, timeout, false, do)
}

// callSigning is call for what is signed in the user's name.
func (a *app) callSigning(ctx context.Context, timeout time.Duration, do func(context.Context, *control.Client) error) error {
	return a.callNode(ctx, timeout, true, do)
}

func (a *app) callNode(ctx context.Context, timeout time.Duration, signs bool, do func(context.Context, *control.Client) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	if signs {
		detach, err := home.signFor(ctx, node)
		if err != nil {
			return err
		}
		defer detach()
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return do(ctx, node)
}

// signFor signs in the user's name for the node, which does so itself unless the
// key is encrypted or in an agent. A passphrase is asked for now: the time that
// the node is given begins later.
func (h *Home) signFor(ctx context.Context, node *control.Client) (done func(), err error) {
	u, err := h.userKey()
	if err != nil {
		return nil, err
	}
	var signer identity.Signer
	switch u.Place {
	case inSealed:
		key := &sealedKey{home: h, user: u}
		if err := key.unlock(); err != nil {
			return nil, err
		}
		signer = key
	case inAgent:
		signer = h.signerOf(u)
	default:
		return func() {}, nil
	}
	return node.AttachSigner(ctx, signer)
}

// callRepo is call for a command that looks at one repository. repo is its spelling for the node.
func (a *app) callRepo(ctx context.Context, arg string, do func(ctx context.Context, node *control.Client, repo string) error) error {
	return a.callRepoFor(ctx, callTimeout, false, arg, do)
}

// changeRepo is callRepo for a command that has something signed.
func (a *app) changeRepo(ctx context.Context, arg string, do func(ctx context.Context, node *control.Client, repo string) error) error {
	return a.callRepoFor(ctx, changeTimeout, true, arg, func(ctx context.Context, node *control.Client, repo string) error {
		return unanswered(do(ctx, node, repo), arg)
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
func (a *app) callRepoFor(ctx context.Context, most time.Duration, signs bool, arg string, do func(ctx context.Context, node *control.Client, repo string) error) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	ref, err := home.ResolveRepo(arg)
	if err != nil {
		return err
	}
	return a.callNode(ctx, most, signs, func(ctx context.Context, node *control.Client) error {
		return do(ctx, node, ref.String())
	})
}
