package cmd

import (
	"cmp"
	"context"
	"strings"

	"peer/identity"
	"peer/node/control/pb"
)

type repoAllowCmd struct {
	Repo   string   `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Owners []string `arg:"" name:"owner" help:"Whom: a did:key, a peer ID or a petname."`
	Role   string   `help:"Role: reader, writer, maintainer or owner." default:"writer" enum:"reader,writer,maintainer,owner" placeholder:"ROLE"`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Run gives people a role, in place of the one they had.
func (c *repoAllowCmd) Run(ctx context.Context, a *app) error {
	grants, err := a.grants(c.Owners, c.Role)
	if err != nil {
		return err
	}
	return a.changePolicy(ctx, c.Repo, c.JSON, &pb.ChangePolicyRequest{Grants: grants})
}

type repoDenyCmd struct {
	Repo   string   `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Owners []string `arg:"" name:"owner" help:"Whom: a did:key, a peer ID or a petname."`
	Revoke bool     `help:"For good: these keys were lost, or are somebody else's now. Only an owner may."`
	JSON   bool     `name:"json" help:"Print JSON."`
}

// Run takes people's roles away.
func (c *repoDenyCmd) Run(ctx context.Context, a *app) error {
	grants, err := a.grants(c.Owners, "none")
	if err != nil {
		return err
	}
	if c.Revoke {
		return c.revoke(ctx, a, grants)
	}
	return a.changePolicy(ctx, c.Repo, c.JSON, &pb.ChangePolicyRequest{Grants: grants})
}

// revoke revokes one key after the other, and shows what the policy is then.
func (c *repoDenyCmd) revoke(ctx context.Context, a *app, grants []*pb.Grant) error {
	repo, err := a.home.ResolveRepo(c.Repo)
	if err != nil {
		return err
	}
	var last *pb.Commit
	for _, g := range grants {
		key, err := identity.ParseOwner(g.GetKey())
		if err != nil {
			return err
		}
		commit, err := a.revoke(ctx, repo, key)
		if err != nil {
			return err
		}
		a.committed(commit, c.JSON)
		last = cmp.Or(commit, last)
	}
	return a.callRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, id string) error {
		r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: id})
		if err != nil {
			return err
		}
		r.Commit = last
		return a.showPolicy(r, c.JSON)
	})
}

func (a *app) grants(owners []string, role string) (list []*pb.Grant, err error) {
	home, err := a.Home()
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for _, name := range owners {
		key, err := home.ParseOwner(name)
		if err != nil {
			return nil, err
		}
		if !named[key.DID()] {
			named[key.DID()] = true
			list = append(list, &pb.Grant{Key: key.DID(), Role: role})
		}
	}
	return list, nil
}

// changePolicy asks for a change, and shows what the policy is then.
func (a *app) changePolicy(ctx context.Context, repo string, json bool, q *pb.ChangePolicyRequest) error {
	return a.changeRepo(ctx, repo, func(ctx context.Context, from repoAPI, id string) error {
		q.Repo = id
		r, err := from.ChangePolicy(ctx, q)
		if err != nil {
			return err
		}
		a.committed(r.GetCommit(), json)
		return a.showPolicy(r, json)
	})
}

func (a *app) showPolicy(r *pb.Repo, json bool) error {
	if json {
		return printJSON(a.out, repoOf(r))
	}
	aliases, err := a.home.Aliases()
	if err != nil {
		return err
	}
	return table(a.out, func(line func(string, ...any)) { printPolicy(line, r.GetPolicy(), petnames(aliases)) })
}

func printPolicy(line func(string, ...any), p *pb.Policy, names map[string]string) {
	for _, g := range p.GetGrants() {
		who := g.GetKey()
		if name := names[who]; name != "" {
			who += "  " + name
		}
		line("%s\t%s", g.GetRole(), who)
	}
	for _, r := range p.GetProtections() {
		line("protected\t%s", describeProtection(r))
	}
}

func describeProtection(r *pb.Protection) string {
	text := r.GetPattern() + "  push: " + r.GetPush()
	if r.GetNoForce() {
		text += ", no force"
	}
	if r.GetNoDelete() {
		text += ", no delete"
	}
	return text
}

type repoProtectCmd struct {
	Repo        string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Pattern     string `arg:"" help:"A branch, or a full ref name; * stands for anything within a part, ** for any parts."`
	Push        string `help:"Who may push: writer, maintainer, owner or nobody." default:"maintainer" enum:"writer,maintainer,owner,nobody" placeholder:"ROLE"`
	AllowForce  bool   `help:"Let it move anywhere, not forward only."`
	AllowDelete bool   `help:"Let it be deleted."`
	Remove      bool   `help:"Drop the rule."`
	JSON        bool   `name:"json" help:"Print JSON."`
}

// Run makes a rule for refs, in place of the one with the same pattern, or drops it.
func (c *repoProtectCmd) Run(ctx context.Context, a *app) error {
	pattern := fullPattern(c.Pattern)
	q := &pb.ChangePolicyRequest{Unprotect: []string{pattern}}
	if !c.Remove {
		q = &pb.ChangePolicyRequest{Protect: []*pb.Protection{{Pattern: pattern, Push: c.Push, NoForce: !c.AllowForce, NoDelete: !c.AllowDelete}}}
	}
	return a.changePolicy(ctx, c.Repo, c.JSON, q)
}

// fullPattern expands what is no full ref name to a branch.
func fullPattern(text string) string {
	if strings.HasPrefix(text, "refs/") {
		return text
	}
	return "refs/heads/" + text
}
