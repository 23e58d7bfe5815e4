package cmd

import (
	"context"
	"slices"
	"strings"

	"peer/identity"
	"peer/node/control/pb"
)

type cloneCmd struct {
	Args []string `arg:"" optional:"" help:"REPO, and what else git clone takes."`
}

// Run clones. REPO becomes a did:key URL, which is what git then stores: it is
// valid for everybody and for ever, whatever petnames come and go.
func (c *cloneCmd) Run(ctx context.Context, a *app) error {
	args := slices.Clone(c.Args)
	at := cloneSource(args)
	if at < 0 {
		if len(args) > 0 {
			return a.become(append([]string{"clone"}, args...)...) // -h, for instance
		}
		return usage("peer clone OWNER/NAME", "clone what?")
	}
	if !isElsewhere(args[at]) {
		url, err := a.cloneURL(ctx, args[at])
		if err != nil {
			return err
		}
		args[at] = url
	}
	// The second -c makes it last: it goes into the config of the clone.
	return a.become(append([]string{"-c", allowPeer, "clone", "-c", allowPeer}, args...)...)
}

func (a *app) cloneURL(ctx context.Context, arg string) (string, error) {
	home, err := a.Home()
	if err != nil {
		return "", err
	}
	ref, err := home.ResolveRepo(arg)
	if err != nil {
		return "", err
	}
	if ref.Address != nil {
		return ref.Address.URL(), nil
	}
	// An ID alone: the network knows whose it is and what it is called.
	var address identity.Address
	err = a.callRepo(ctx, arg, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
		if err == nil {
			address, err = identity.ParseURL(r.GetUrl(), nil)
		}
		return err
	})
	return address.URL(), err
}

// cloneValueFlags are the options of git clone whose value is the next argument.
var cloneValueFlags = []string{
	"-o", "--origin", "-b", "--branch", "--revision", "-u", "--upload-pack", "--reference", "--reference-if-able",
	"--separate-git-dir", "--depth", "--shallow-since", "--shallow-exclude", "-j", "--jobs", "-c", "--config",
	"--template", "--filter", "--server-option", "--bundle-uri", "--ref-format",
}

// cloneSource is where in the arguments of git clone the repository stands; -1
// where it does not.
func cloneSource(args []string) int {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--":
			if i+1 < len(args) {
				return i + 1
			}
			return -1
		case slices.Contains(cloneValueFlags, arg):
			i++
		case !strings.HasPrefix(arg, "-"):
			return i
		}
	}
	return -1
}

// isElsewhere says whether a repository is none of ours: a path, the URL of
// another transport, or HOST:PATH.
func isElsewhere(arg string) bool {
	if strings.HasPrefix(arg, identity.URLScheme) {
		return false
	}
	if strings.Contains(arg, "://") || strings.Contains(arg, "::") {
		return true
	}
	for _, prefix := range []string{"/", "./", "../", "~"} {
		if strings.HasPrefix(arg, prefix) {
			return true
		}
	}
	return arg == "." || arg == ".." || strings.Contains(arg, ":") && !strings.HasPrefix(arg, "did:")
}
