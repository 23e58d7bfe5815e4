package node

import (
	"context"
	"fmt"
	"strings"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// SetHead makes a branch the default one, also one that is not there yet, as git allows:
// then the Info says so. The log says whether it is, also where it seems to be already:
// what is shown may be old. If somebody else was faster it is tried again.
func (c *Client) SetHead(ctx context.Context, repo identity.RepoID, branch string) (Info, *replica.Done, error) {
	const triesMax = 3
	for try := 1; ; try++ {
		info, err := c.Show(ctx, repo)
		if err != nil {
			return info, nil, err
		}
		if info.Head == "" {
			return info, nil, failure(wire.FailureCode_FAILURE_VERSION, "whoever answers for "+info.Genesis.Name+" runs an older peer, which does not say what its default branch is", "nothing was changed; upgrade its nodes")
		}
		o, err := c.newOperation(ctx, repo, &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: &wire.SetHead{Old: info.Head, New: branch}}})
		if err != nil {
			return info, nil, err
		}
		info.Unborn = true
		o.list = func(refs []*wire.Ref) {
			for _, ref := range refs {
				info.Unborn = info.Unborn && ref.GetName() != branch
			}
		}
		done, err := o.run(ctx)
		if err == nil {
			info.Head = branch
			return info, done, nil
		}
		if !done.Stale() || try == triesMax {
			return info, nil, err
		}
	}
}

// BranchRef is the full name of a branch that may be given without refs/heads/ before it.
func BranchRef(name string) (string, error) {
	full := name
	if !strings.HasPrefix(name, "refs/heads/") {
		full = "refs/heads/" + name
	}
	hint := "a branch is given by its name, such as main, or refs/heads/main"
	if full != name && strings.HasPrefix(name, "refs/") {
		return "", failure(wire.FailureCode_FAILURE_BAD_REQUEST, fmt.Sprintf("%.200q is no branch", name), hint)
	}
	if err := git.CheckRefName(full); err != nil {
		return "", failure(wire.FailureCode_FAILURE_BAD_REQUEST, err.Error(), hint)
	}
	return full, nil
}
