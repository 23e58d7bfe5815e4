package node

import (
	"context"
	"strings"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// SetHead makes a branch the default one. The log says whether it is, also where it
// seems to be already: what is shown may be old. If somebody else was faster it is
// tried again.
func (n *Node) SetHead(ctx context.Context, repo identity.RepoID, branch string) (Info, *replica.Done, error) {
	const triesMax = 3
	for try := 1; ; try++ {
		info, err := n.Show(ctx, repo)
		if err != nil {
			return info, nil, err
		}
		if info.Head == "" {
			return info, nil, failure(wire.FailureCode_FAILURE_VERSION, "whoever answers for "+info.Genesis.Name+" runs an older peer, which does not say what its default branch is", "nothing was changed; upgrade its nodes")
		}
		done, err := n.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_SetHead{SetHead: &wire.SetHead{Old: info.Head, New: branch}}})
		if err == nil {
			info.Head = branch
			return info, done, nil
		}
		if !done.Stale() || try == triesMax {
			return info, nil, err
		}
	}
}

// BranchRef is the full name of a branch that may be given without its prefix.
func BranchRef(name string) string {
	if strings.HasPrefix(name, "refs/heads/") {
		return name
	}
	return "refs/heads/" + name
}
