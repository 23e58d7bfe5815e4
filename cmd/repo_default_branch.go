package cmd

import (
	"context"
	"fmt"
	"strings"

	"peer/node"
	"peer/node/control/pb"
)

type repoDefaultBranchCmd struct {
	Repo   string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Branch string `arg:"" help:"The branch, with or without refs/heads/; it need not be there yet."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run makes another branch the default one.
func (c *repoDefaultBranchCmd) Run(ctx context.Context, a *app) error {
	if _, err := node.BranchRef(c.Branch); err != nil {
		return usage(hintOf(asRefusal(err)), "%v", err)
	}
	return a.changeRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.SetHead(ctx, &pb.SetHeadRequest{Repo: repo, Branch: c.Branch})
		if err != nil {
			return err
		}
		a.committed(r.GetCommit(), c.JSON)
		if c.JSON {
			return printJSON(a.out, repoOf(r))
		}
		_, err = fmt.Fprintf(a.out, "the default branch of %s is %s; in clones: git remote set-head origin --auto\n", r.GetName(), strings.TrimPrefix(r.GetHead(), "refs/heads/"))
		return err
	})
}

// warnUnborn says what git says of such a HEAD only when somebody clones.
func warnUnborn(r *pb.Repo) {
	branch := strings.TrimPrefix(r.GetHead(), "refs/heads/")
	r.Commit.Warnings = append(r.Commit.Warnings, fmt.Sprintf("there is no branch %s in %s yet, and until there is a clone checks out nothing; make it: git push %s HEAD:%s",
		branch, r.GetName(), r.GetUrl(), r.GetHead()))
}
