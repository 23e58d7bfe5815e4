package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"

	"peer/node/control/pb"
)

type verifyCmd struct {
	Repo    string   `arg:"" optional:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Deep    bool     `help:"Read every byte of every object, which takes a while."`
	Receipt []string `help:"Check a receipt instead, offline; two are compared." placeholder:"FILE" sep:"none"`
	JSON    bool     `name:"json" help:"Print JSON."`
}

type verifyJSON struct {
	OK       bool           `json:"ok"`
	Replicas []verifiedJSON `json:"replicas"`
}

type verifiedJSON struct {
	Peer     string        `json:"peer"`
	OK       bool          `json:"ok"`
	Error    string        `json:"error,omitempty"` // it could not be asked
	Index    uint64        `json:"index"`
	LogFirst uint64        `json:"log_first"`
	Refs     uint64        `json:"refs"`
	Findings []findingJSON `json:"findings"`
}

type findingJSON struct {
	Part   string `json:"part"`
	Detail string `json:"detail"`
	Mended bool   `json:"mended,omitempty"`
}

// errDamage is told apart so that scripts get an exit code for it.
var errDamage = errors.New("not all is as it should be")

// Run has every replica check itself.
func (c *verifyCmd) Run(ctx context.Context, a *app) error {
	switch {
	case (c.Repo == "") == (len(c.Receipt) == 0), len(c.Receipt) > 0 && c.Deep:
		return usage("peer verify REPO asks its replicas; peer verify --receipt FILE asks nobody", "name a repository, or receipts")
	case len(c.Receipt) > 0:
		return verifyReceipts(a.out, c.Receipt, c.JSON)
	}
	return a.callRepoFor(ctx, 0, true, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		out := verifyJSON{OK: true, Replicas: []verifiedJSON{}}
		err := from.Verify(ctx, &pb.VerifyRequest{Repo: repo, Deep: c.Deep}, func(r *pb.VerifyReply) error {
			if !r.GetDone() {
				if !c.JSON {
					fmt.Fprintln(a.errs, "peer: "+tidy(r.GetPeer()+": "+r.GetProgress()))
				}
				return nil
			}
			v := verifiedOf(r)
			out.OK = out.OK && v.OK
			out.Replicas = append(out.Replicas, v)
			if c.JSON {
				return nil
			}
			return printVerified(a.out, v)
		})
		if err != nil {
			return err
		}
		if c.JSON {
			err = printJSON(a.out, out)
		}
		if err == nil && !out.OK {
			err = hinted(errDamage, "peer why "+c.Repo+" says who takes part; what git's fsck names is on the other replicas")
		}
		return err
	})
}

func verifiedOf(r *pb.VerifyReply) verifiedJSON {
	v := verifiedJSON{
		Peer: r.GetPeer(), OK: r.GetError() == "" && len(r.GetFindings()) == 0, Error: r.GetError(),
		Index: r.GetIndex(), LogFirst: r.GetLogFirst(), Refs: r.GetRefs(), Findings: []findingJSON{},
	}
	for _, f := range r.GetFindings() {
		v.Findings = append(v.Findings, findingJSON{Part: f.GetPart(), Detail: f.GetDetail(), Mended: f.GetMended()})
	}
	return v
}

func printVerified(w io.Writer, v verifiedJSON) error {
	line := fmt.Sprintf("%s  index %d, log from %d, %d refs, all is well", v.Peer, v.Index, v.LogFirst, v.Refs)
	switch {
	case v.Error != "":
		line = fmt.Sprintf("%s  not checked: %s", v.Peer, v.Error)
	case !v.OK:
		line = fmt.Sprintf("%s  index %d, log from %d, %d refs:", v.Peer, v.Index, v.LogFirst, v.Refs)
	}
	if _, err := fmt.Fprintln(w, tidy(line)); err != nil {
		return err
	}
	for _, f := range v.Findings {
		mended := ""
		if f.Mended {
			mended = "  (put right)"
		}
		if _, err := fmt.Fprintln(w, "  "+tidy(f.Part+": "+f.Detail)+mended); err != nil {
			return err
		}
	}
	return nil
}
