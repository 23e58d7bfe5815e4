package cmd

import (
	"context"
	"fmt"

	"peer/node/control/pb"
)

type repoRmCmd struct {
	Repo   string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Yes    string `help:"The repository's name once more: it ends for everybody, and the name is spent." placeholder:"NAME"`
	Reason string `help:"What to tell those who still ask for it." placeholder:"TEXT"`
}

// Run ends a repository: a tombstone signed by its owner takes its place.
func (c *repoRmCmd) Run(ctx context.Context, a *app) error {
	return a.changeRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
		if err != nil {
			return err
		}
		if c.Yes != r.GetName() {
			return usage("keep a copy if you may want it back: git clone --mirror "+r.GetUrl()+"; then: peer repo rm "+shellQuote(c.Repo)+" --yes "+r.GetName(),
				"%s ends for everybody, on all %d replicas, and can't be brought back", r.GetName(), len(r.GetReplicas()))
		}
		reply, err := from.RemoveRepo(ctx, &pb.RemoveRepoRequest{Repo: repo, Reason: c.Reason})
		if err != nil {
			return err
		}
		a.committed(reply.GetCommit(), false)
		_, err = fmt.Fprintf(a.out, "removed %s\n", r.GetUrl())
		return err
	})
}
