package cmd

import (
	"cmp"
	"context"
	"fmt"

	"peer/identity"
	"peer/node/control/pb"
	"peer/replica"
)

type initCmd struct {
	Name          string `arg:"" help:"Name of the repository."`
	ObjectFormat  string `help:"sha1 or sha256; by default that of the work tree, or sha1." enum:",sha1,sha256" default:"" placeholder:"HASH"`
	DefaultBranch string `help:"By default the current branch of the work tree, or main." placeholder:"NAME"`
	initFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// initFlags are those of every command that creates a repository.
type initFlags struct {
	Replicas int      `help:"How many replicas: an odd number, 7 at most; by default 3, or as many as --on names." placeholder:"N"`
	On       []string `help:"The nodes that are to hold it, by peer ID, did:key or petname." placeholder:"NODE,…"`
	Private  bool     `help:"Keep it from all but those who get a role, and the nodes that hold it. For ever."`
}

// initJSON is part of the contract with scripts.
type initJSON struct {
	ID       string        `json:"id"`
	URL      string        `json:"url"`
	Name     string        `json:"name"`
	Replicas []replicaJSON `json:"replicas"`
	Private  bool          `json:"private,omitempty"`
	Remote   string        `json:"remote,omitempty"` // that was set in the work tree
	Warnings []string      `json:"warnings,omitempty"`
}

// Run creates a repository, and makes it a remote of the work tree it is run in.
func (c *initCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	tree, err := currentWorkTree(ctx)
	if err != nil {
		return err
	}
	request, err := c.request(ctx, home, tree)
	if err != nil {
		return err
	}
	var reply *pb.InitReply
	err = a.ask(ctx, initTimeout, true, func(ctx context.Context, from repoAPI) (err error) {
		reply, err = from.Init(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	warnings := reply.GetWarnings()
	remote := ""
	if tree != nil {
		var trouble error
		if remote, trouble = tree.addRemote(ctx, reply.GetRepo().GetUrl()); trouble != nil {
			warnings = append(warnings, trouble.Error())
		}
	}
	return c.tell(a, reply.GetRepo(), remote, tree != nil, warnings)
}

// request checks the command line and fills it in from the work tree.
func (c *initCmd) request(ctx context.Context, home *Home, tree *workTree) (*pb.InitRequest, error) {
	if err := identity.CheckName(c.Name); err != nil {
		return nil, usage("peer init my-project", "%w", err)
	}
	if _, err := identity.ParseRepoID(c.Name); err == nil {
		return nil, usage("peer init my-project", "repository name %s: reads as a repository ID", c.Name)
	}
	if f, err := home.former(); err != nil || f.Repos[c.Name] != "" {
		return nil, cmp.Or(err, hinted(fmt.Errorf("you have a repository called %s, which a key founded that you had before", c.Name), "take another name: peer init "+c.Name+"2"))
	}
	if c.Replicas < 0 || c.Replicas > replica.MembersMax || c.Replicas != 0 && c.Replicas%2 == 0 {
		return nil, usage("3 replicas go on when one is lost, 5 when two are", "--replicas: want an odd number up to %d, not %d", replica.MembersMax, c.Replicas)
	}
	q := &pb.InitRequest{Name: c.Name, Replicas: uint32(c.Replicas), ObjectFormat: c.ObjectFormat, DefaultBranch: c.DefaultBranch, Private: c.Private}
	for _, node := range c.On {
		key, err := home.ParseOwner(node)
		if err != nil {
			return nil, usage("a node is a peer ID, a did:key or a petname", "--on %.100s: %w", node, err)
		}
		q.On = append(q.On, key.PeerID().String())
	}
	if len(c.On) > 0 && c.Replicas != 0 && c.Replicas != len(c.On) {
		return nil, usage("leave --replicas out", "--on names %d nodes, and --replicas wants %d", len(c.On), c.Replicas)
	}
	if tree != nil {
		q.ObjectFormat = firstSet(q.ObjectFormat, tree.objectFormat(ctx))
		q.DefaultBranch = firstSet(q.DefaultBranch, tree.branch(ctx))
	}
	return q, nil
}

// tell says what was made and what to type next.
func (c *initCmd) tell(a *app, r *pb.Repo, remote string, inTree bool, warnings []string) error {
	if len(r.GetReplicas()) == 1 {
		warnings = append(warnings, "unreplicated: one machine holds this repository, and it is lost with that disk")
	}
	if c.JSON {
		full := repoOf(r)
		return printJSON(a.out, initJSON{
			ID: full.ID, URL: full.URL, Name: full.Name, Replicas: full.Replicas, Private: full.Private, Remote: remote, Warnings: warnings,
		})
	}
	err := table(a.out, func(line func(string, ...any)) {
		line("URL\t%s", r.GetUrl())
		if r.GetPrivate() {
			line("private\t%s", privateText)
		}
		for _, p := range r.GetReplicas() {
			line("replica\t%s", p.GetPeer())
		}
		if remote != "" {
			line("remote\t%s", remote)
		}
	})
	for _, w := range warnings {
		warn(a.errs, "%s", w)
	}
	switch {
	case remote != "":
		fmt.Fprintf(a.errs, "peer: hint: push to it: git push -u %s HEAD\n", remote)
	case !inTree:
		fmt.Fprintf(a.errs, "peer: hint: work on it: peer clone %s\n", r.GetName())
	}
	return err
}
