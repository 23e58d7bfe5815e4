package cmd

import (
	"context"
	"fmt"

	"peer/node/control/pb"
)

type whyCmd struct {
	Repo string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	JSON bool   `name:"json" help:"Print JSON."`
}

type whyJSON struct {
	Repo    repoJSON     `json:"repo"`
	Pushes  bool         `json:"pushes"` // a push by this home would not be refused
	Reasons []reasonJSON `json:"reasons"`
}

type reasonJSON struct {
	What    string `json:"what"`
	Hint    string `json:"hint,omitempty"`
	Refuses bool   `json:"refuses,omitempty"`
}

// Run explains a repository.
func (c *whyCmd) Run(ctx context.Context, a *app) error {
	return a.callRepoFor(ctx, callTimeout, true, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.Why(ctx, &pb.WhyRequest{Repo: repo})
		if err != nil {
			return err
		}
		out := whyJSON{Repo: repoOf(r.GetRepo()), Pushes: true, Reasons: []reasonJSON{}}
		for _, reason := range r.GetReasons() {
			out.Reasons = append(out.Reasons, reasonJSON{What: reason.GetWhat(), Hint: reason.GetHint(), Refuses: reason.GetRefuses()})
			out.Pushes = out.Pushes && !reason.GetRefuses()
		}
		if c.JSON {
			return printJSON(a.out, out)
		}
		for _, reason := range out.Reasons {
			if _, err := fmt.Fprintln(a.out, tidy(reason.What)); err != nil {
				return err
			}
			if reason.Hint != "" {
				fmt.Fprintln(a.out, "  "+tidy(reason.Hint))
			}
		}
		verdict := "a push by you would be taken"
		if !out.Pushes {
			verdict = "a push by you would be refused now"
		}
		_, err = fmt.Fprintln(a.out, verdict)
		return err
	})
}
