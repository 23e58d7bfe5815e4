package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"peer/node/control"
	"peer/node/control/pb"
)

type repoCmd struct {
	Ls     repoLsCmd     `cmd:"" help:"List the repositories that this node holds."`
	Show   repoShowCmd   `cmd:"" help:"Describe a repository and its replicas."`
	Lock   repoLockCmd   `cmd:"" help:"Keep others from pushing for a while."`
	Unlock repoUnlockCmd `cmd:"" help:"Let others push again."`

	Allow   repoAllowCmd   `cmd:"" help:"Let people push, or do more or less."`
	Deny    repoDenyCmd    `cmd:"" help:"Take people's roles away."`
	Rekey   repoRekeyCmd   `cmd:"" help:"Have your key take the place of one that you had before."`
	Protect repoProtectCmd `cmd:"" help:"Say who may push to some refs, and how."`

	DefaultBranch repoDefaultBranchCmd `cmd:"" help:"Make another branch the one that a clone checks out."`

	Replicas repoReplicasCmd `cmd:"" help:"Show or change which nodes hold a repository."`
	Rm       repoRmCmd       `cmd:"" help:"End a repository, for everybody."`
}

type repoLsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists repositories.
func (c *repoLsCmd) Run(ctx context.Context, a *app) error {
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		list, err := node.ListRepos(ctx, &pb.ListReposRequest{})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(a.out, reposOf(list.GetRepos()))
		}
		if len(list.GetRepos()) == 0 {
			fmt.Fprintln(a.errs, "peer: this node holds no repositories; create one: peer init NAME")
			return nil
		}
		return table(a.out, func(line func(string, ...any)) {
			for _, r := range list.GetRepos() {
				line("%s\tindex %d\t%s\t%s", r.GetName(), r.GetIndex(), healthOf(r), r.GetUrl())
			}
		})
	})
}

type repoShowCmd struct {
	Repo string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	JSON bool   `name:"json" help:"Print JSON."`
}

// Run describes one repository.
func (c *repoShowCmd) Run(ctx context.Context, a *app) error {
	return a.callRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(a.out, repoOf(r))
		}
		aliases, err := a.home.Aliases()
		if err != nil {
			return err
		}
		return printRepo(a.out, r, petnames(aliases))
	})
}

// privateText is what private means, in a line.
const privateText = "only those with a role, and the nodes that hold it, may read it or learn that it is there"

func printRepo(w io.Writer, r *pb.Repo, names map[string]string) error {
	return table(w, func(line func(string, ...any)) {
		line("name\t%s", r.GetName())
		if r.GetPolicy() == nil {
			line("owner\t%s", r.GetOwner())
		}
		printPolicy(line, r.GetPolicy(), names)
		line("URL\t%s", r.GetUrl())
		if r.GetPrivate() {
			line("private\t%s", privateText)
		}
		line("ID\t%s", r.GetId())
		if r.GetHead() != "" {
			line("default\t%s", strings.TrimPrefix(r.GetHead(), "refs/heads/"))
		}
		line("state\tindex %d, term %d, %s", r.GetIndex(), r.GetTerm(), healthOf(r))
		for _, p := range r.GetReplicas() {
			line("replica\t%s  %s", p.GetPeer(), describeReplica(r, p))
		}
		if lock := lockOf(r.GetLock()); lock != nil {
			line("lock\t%s", describeLock(lock))
		}
		if r.GetDir() != "" {
			line("here\t%s", r.GetDir())
		}
	})
}

func describeReplica(r *pb.Repo, p *pb.Replica) string {
	text := fmt.Sprintf("index %d", p.GetIndex())
	switch {
	case !p.GetAlive():
		text += ", not reachable"
	case p.GetRole() != "" && p.GetRole() != "voter":
		text += ", " + p.GetRole()
	case p.GetInSync():
		text += ", in sync"
	default:
		text += ", catching up"
	}
	if p.GetPeer() == r.GetLeader() {
		text += ", leader"
	}
	return text
}
