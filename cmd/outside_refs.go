package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"peer/git"
)

// outsideRefs is what a repository elsewhere lists.
type outsideRefs struct {
	refs   []git.Ref
	head   string // the branch that HEAD names; empty where that isn't said
	headAt git.OID
}

// list asks the repository at url for its refs.
func (g *outsideGit) list(ctx context.Context, url string) (outsideRefs, error) {
	g, url = g.entrust(url)
	out, err := g.output(ctx, "ls-remote", "--symref", "--end-of-options", url)
	if err != nil {
		return outsideRefs{}, err
	}
	return parseLsRemote(out)
}

// parseLsRemote reads what git ls-remote --symref prints.
func parseLsRemote(out string) (l outsideRefs, err error) {
	for line := range strings.Lines(out) {
		what, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if target, symbolic := strings.CutPrefix(what, "ref: "); symbolic && ok {
			if name == "HEAD" && isBranch(target) {
				l.head = target
			}
			continue
		}
		oid, perr := git.ParseOID(what)
		if !ok || perr != nil {
			return l, fmt.Errorf("git listed %.100q, which is no ref", line)
		}
		switch {
		case name == "HEAD":
			l.headAt = oid
		case strings.HasSuffix(name, "^{}"), !strings.HasPrefix(name, "refs/"):
		case len(l.refs) == refsMax:
			return l, fmt.Errorf("more than %d refs", refsMax)
		default:
			l.refs = append(l.refs, git.Ref{Name: name, OID: oid})
		}
	}
	return l, nil
}

// format is the hash of the repository. Without a ref there is nothing to tell it by.
func (l outsideRefs) format() git.Format {
	if len(l.refs) == 0 {
		return git.SHA1
	}
	return l.refs[0].OID.Format()
}

// defaultBranch is the branch that HEAD names, or where that isn't said (HEAD is
// detached, or the other end too old) the likeliest one of those it may be.
func (l outsideRefs) defaultBranch() string {
	likeliest, most := "refs/heads/main", -1
	for _, ref := range l.refs {
		if !isBranch(ref.Name) {
			continue
		}
		likely := map[string]int{"refs/heads/main": 2, "refs/heads/master": 1}[ref.Name]
		if ref.OID == l.headAt {
			likely += 4
		}
		if likely > most {
			likeliest, most = ref.Name, likely
		}
	}
	return cmp.Or(l.head, likeliest)
}

// hostRefs are what hosting sites keep for themselves below refs/, and what a
// clone remembers of its own remotes.
var hostRefs = []string{
	"refs/pull/",                                                                                      // GitHub, Gitea, Forgejo
	"refs/merge-requests/", "refs/pipelines/", "refs/keep-around/", "refs/environments/", "refs/tmp/", // GitLab
	"refs/pull-requests/",                    // Bitbucket
	"refs/changes/", "refs/cache-automerge/", // Gerrit
	"refs/remotes/",
}

// skippedRef is a ref that peer doesn't take.
type skippedRef struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// choice is which refs of a repository elsewhere are taken over.
type choice struct {
	take    map[string]git.OID
	skipped []skippedRef
	hidden  map[string]int // how many there are below each of hostRefs
}

// choose takes all refs but those of hosting sites, unless these are wanted too,
// and those that nobody may push.
func (l outsideRefs) choose(all bool) choice {
	c := choice{take: map[string]git.OID{}, hidden: map[string]int{}}
	for _, ref := range l.refs {
		if part := hostPart(ref.Name); part != "" && !all {
			c.hidden[part]++
		} else if why := whyNotTaken(ref.Name); why != "" {
			c.skipped = append(c.skipped, skippedRef{ref.Name, why})
		} else {
			c.take[ref.Name] = ref.OID
		}
	}
	return c
}

func hostPart(name string) string {
	for _, part := range hostRefs {
		if strings.HasPrefix(name, part) {
			return part
		}
	}
	return ""
}

// whyNotTaken says why nobody may push a ref of this name; empty: they may.
func whyNotTaken(name string) string {
	err := git.CheckRefName(name)
	if err == nil {
		return ""
	}
	if fault, ok := err.(*git.RefNameError); ok { //nolint:errorlint // CheckRefName returns no other
		return fault.Reason
	}
	return err.Error()
}

// refspecs fetch what was chosen.
func (c choice) refspecs() []string {
	specs := []string{"+refs/*:refs/*"}
	for part := range c.hidden {
		specs = append(specs, "^"+part+"*")
	}
	for _, s := range c.skipped {
		if git.IsRefName(s.Name) { // the rest git itself leaves out
			specs = append(specs, "^"+s.Name)
		}
	}
	return specs
}
