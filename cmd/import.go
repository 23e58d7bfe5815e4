package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"peer/git"
	"peer/identity"
	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

// importDir of a home holds clones of what is being imported, each beside a lock.
const importDir = "import"

type importCmd struct {
	URL     string `arg:"" name:"url" help:"A repository that your git can fetch: a URL, HOST:PATH or a directory."`
	Name    string `arg:"" optional:"" help:"What to call it; by default what the URL ends in."`
	AllRefs bool   `help:"Also the refs that hosting sites keep for themselves, refs/pull/ for instance, and refs/remotes/."`
	initFlags
	JSON bool `name:"json" help:"Print JSON."`
}

// importJSON is part of the contract with scripts.
type importJSON struct {
	ID           string         `json:"id"`
	URL          string         `json:"url"`
	Name         string         `json:"name"`
	Source       string         `json:"source"` // without passwords
	ObjectFormat string         `json:"object_format"`
	Head         string         `json:"head"`
	Refs         int            `json:"refs"`   // that are there now
	Pushed       int            `json:"pushed"` // those that this run brought
	Skipped      []skippedRef   `json:"skipped"`
	LeftOut      map[string]int `json:"left_out"` // how many below each of these
	Replicas     []replicaJSON  `json:"replicas"`
	Private      bool           `json:"private"`
	Warnings     []string       `json:"warnings,omitempty"`
}

// importing is one run of it.
type importing struct {
	*importCmd
	app    *app
	home   *Home
	git    *outsideGit
	source outsideRefs
	choice choice
	repo   *pb.Repo // nil until it is there
	warned []string
}

// Run creates a repository and pushes all that another one lists into it, as any
// push. One that broke off goes on: what is there stays, and nothing is moved that
// isn't a fast-forward.
func (c *importCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	if err := c.complete(); err != nil {
		return err
	}
	dir, done, err := home.importDir(c.Name)
	if err != nil {
		return err
	}
	defer done()
	i := &importing{importCmd: c, app: a, home: home}
	if i.git, err = newOutsideGit(home, dir, a.errs); err != nil {
		return err
	}
	i.git.settings = []string{"core.fsync=none"} // a clone for the moment
	i.git.secretIn = c.URL
	err = i.run(ctx)
	if err != nil && i.repo != nil {
		err = i.resumable(ctx, err)
	}
	return err
}

// complete checks the command line, and derives the name.
func (c *importCmd) complete() error {
	if c.URL == "" || c.URL[0] == '-' {
		return usage("peer import https://example.org/project.git", "%.80q is no URL", c.URL)
	}
	derived := c.Name == ""
	if derived {
		c.Name = nameFromURL(c.URL)
	}
	if err := identity.CheckName(c.Name); err != nil {
		if derived {
			err = fmt.Errorf("the URL tells no name: %w", err)
		}
		return usage("say what to call it: peer import URL NAME", "%w", err)
	}
	return nil
}

// nameFromURL is what git clone would call the directory.
func nameFromURL(url string) string {
	if _, err := os.Stat(url); err == nil { // ".", for instance
		if full, err := filepath.Abs(url); err == nil {
			url = full
		}
	}
	_, _, place := userInfo(url)
	if place == "" {
		place = url
	}
	place, _, _ = strings.Cut(place, "?")
	place = strings.TrimSuffix(strings.TrimRight(place, "/"), "/.git")
	place = place[strings.LastIndexAny(place, "/:")+1:]
	return strings.TrimSuffix(place, ".git")
}

// importDir is where the clone of one import goes. It also removes what others
// left that were killed. done removes it.
func (h *Home) importDir(name string) (dir string, done func(), err error) {
	base := h.path(importDir)
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", nil, err
	}
	lock, err := flock(filepath.Join(base, name+".lock"), false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return "", nil, &fault{err: fmt.Errorf("another process of this home is importing %s", name), hint: "wait for it, or stop it", exit: exitUnavailable}
	}
	if err != nil {
		return "", nil, err
	}
	left, _ := filepath.Glob(filepath.Join(base, "*.git"))
	for _, old := range left {
		if other, err := flock(strings.TrimSuffix(old, ".git")+".lock", false); err == nil {
			_ = removeTree(old)
			_ = other.Close()
		}
	}
	dir = filepath.Join(base, name+".git")
	return dir, func() {
		_ = removeTree(dir)
		_ = lock.Close()
	}, removeTree(dir)
}

// removeTree removes a repository into which a git that was interrupted may still
// be writing its last file.
func removeTree(dir string) error {
	for end := time.Now().Add(gitStopPatience); ; time.Sleep(pauseMin) {
		if err := os.RemoveAll(dir); err == nil || time.Now().After(end) {
			return err
		}
	}
}

func (i *importing) run(ctx context.Context) error {
	if err := i.find(ctx); err != nil {
		return err
	}
	if err := i.look(ctx); err != nil {
		return err
	}
	if err := i.fits(); err != nil {
		return err
	}
	resumed := i.repo != nil
	if err := i.clone(ctx); err != nil {
		return err
	}
	if !resumed {
		if err := i.create(ctx); err != nil {
			return err
		}
	} else if err := i.compare(ctx); err != nil {
		return err
	}
	pushed, err := i.push(ctx)
	if err != nil {
		return err
	}
	return i.tell(pushed)
}

// find sees whether the repository is there already: from an import that broke off.
func (i *importing) find(ctx context.Context) error {
	err := i.app.callRepo(ctx, i.Name, func(ctx context.Context, from repoAPI, repo string) (err error) {
		i.repo, err = from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
		return err
	})
	var refused *control.Error
	if errors.As(err, &refused) && refused.Code == wire.FailureCode_FAILURE_NOT_FOUND {
		return nil
	}
	if err == nil && i.repo.GetRemovedUnixMs() != 0 {
		i.repo, err = nil, hinted(fmt.Errorf("you had a repository called %s, and removed it", i.Name), "take another name: peer import URL "+i.Name+"2")
	}
	return err
}

// look lists the source.
func (i *importing) look(ctx context.Context) (err error) {
	if i.source, err = i.git.list(ctx, i.URL); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return hinted(fmt.Errorf("git can't read %s: %w", publicURL(i.URL), err), "what git says is above; try it by hand: git ls-remote URL")
	}
	i.choice = i.source.choose(i.AllRefs)
	i.tellLeftOut()
	if len(i.choice.take) == 0 {
		return hinted(fmt.Errorf("%s has no refs to take: it is empty", publicURL(i.URL)), "create one to push to: peer init "+i.Name)
	}
	return nil
}

// skippedTold is how many refs are named that peer doesn't take; --json has all.
const skippedTold = 20

func (i *importing) tellLeftOut() {
	skipped := i.choice.skipped
	for _, s := range skipped[:min(len(skipped), skippedTold)] {
		warn(i.app.errs, "left out: %.200q: %s", s.Name, s.Reason)
	}
	if len(skipped) > 0 {
		warn(i.app.errs, "refs left out, since peer takes no such names: %d", len(skipped))
	}
	for _, part := range slices.Sorted(maps.Keys(i.choice.hidden)) {
		i.say("refs below %s that are left out: %d; --all-refs takes them", part, i.choice.hidden[part])
	}
}

func (i *importing) say(format string, args ...any) {
	fmt.Fprintf(i.app.errs, "peer: %s\n", tidy(fmt.Sprintf(format, args...)))
}

// fits says whether the repository that is there can take the source at all.
func (i *importing) fits() error {
	if i.repo == nil {
		return nil
	}
	if have, want := i.repo.GetObjectFormat(), string(i.source.format()); have != want {
		return i.taken(fmt.Sprintf("its hash is %s, and that of the source %s", have, want))
	}
	return nil
}

func (i *importing) taken(why string) error {
	return hinted(fmt.Errorf("you have a repository called %s already, and it isn't one that this import left unfinished: %s; nothing was changed", i.Name, why),
		fmt.Sprintf("take another name: peer import %s %s2", shellQuote(publicURL(i.URL)), i.Name))
}

// clone fetches all that was chosen.
func (i *importing) clone(ctx context.Context) error {
	if err := i.git.create(ctx, i.source.format()); err != nil {
		return err
	}
	i.say("fetching %d refs of %s", len(i.choice.take), publicURL(i.URL))
	options := []string{"--quiet"} // about each ref
	if isTerminal(i.app.errs) {
		options = append(options, "--progress")
	}
	if err := i.git.fetch(ctx, i.URL, i.choice.refspecs(), options...); err != nil {
		if ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("fetch %s: %w", publicURL(i.URL), err)
	}
	refs, err := i.git.refs(ctx)
	if err != nil {
		return err
	}
	got := map[string]git.OID{}
	for _, ref := range refs {
		got[ref.Name] = ref.OID
	}
	for name := range i.choice.take {
		if _, ok := got[name]; !ok {
			return hinted(fmt.Errorf("git did not bring %.200q of %s", name, publicURL(i.URL)), "if that is a shallow clone, complete it: git fetch --unshallow; if the ref is gone since, the same command again works")
		}
	}
	i.choice.take = got
	return nil
}

// create is peer init.
func (i *importing) create(ctx context.Context) error {
	c := initCmd{
		Name: i.Name, initFlags: i.initFlags, ObjectFormat: string(i.source.format()),
		DefaultBranch: strings.TrimPrefix(i.source.defaultBranch(), "refs/heads/"),
	}
	request, err := c.request(ctx, i.home, nil)
	if err != nil {
		return err
	}
	return i.app.ask(ctx, initTimeout, true, func(ctx context.Context, from repoAPI) error {
		reply, err := from.Init(ctx, request)
		i.repo, i.warned = reply.GetRepo(), reply.GetWarnings()
		return err
	})
}

// compare refuses to go on where the repository holds anything that the source
// doesn't, or has it elsewhere.
func (i *importing) compare(ctx context.Context) error {
	there, err := i.git.list(ctx, i.repo.GetUrl())
	if err != nil || len(there.refs) == 0 {
		return err
	}
	known := map[string]bool{}
	for _, ref := range i.source.refs {
		known[ref.Name] = true
	}
	for _, ref := range there.refs {
		if !known[ref.Name] {
			return i.taken(fmt.Sprintf("it has %.200q, and the source has no such ref", ref.Name))
		}
	}
	would, err := i.git.push(ctx, i.repo.GetUrl(), []string{"refs/*:refs/*"}, "--dry-run", "--quiet")
	if err != nil {
		return err
	}
	for _, ref := range would {
		if ref.refused() {
			return i.taken(fmt.Sprintf("%.200q is elsewhere than at the source", ref.name))
		}
	}
	return nil
}

// push is one push of all refs, atomic where they fit one transaction. Where they
// don't, the remote helper makes pieces of them.
func (i *importing) push(ctx context.Context) (moved int, err error) {
	var options []string
	var all []*refPush
	for name := range i.choice.take {
		all = append(all, &refPush{PushLine: git.PushLine{Dst: name}})
	}
	if len(splitBatches(all)) == 1 {
		options = append(options, "--atomic")
	}
	i.say("pushing them to %s", i.repo.GetUrl())
	refs, err := i.git.push(ctx, i.repo.GetUrl(), []string{"refs/*:refs/*"}, options...)
	if err != nil {
		return 0, err
	}
	for _, ref := range refs {
		if ref.refused() {
			return 0, fmt.Errorf("the push of %.200q was refused: %s", ref.name, ref.reason)
		}
		if ref.moved() {
			moved++
		}
	}
	return moved, nil
}

// resumable adds that the repository is there, and what to type.
func (i *importing) resumable(ctx context.Context, err error) error {
	const again = "the same command again goes on where this one ended"
	if ctx.Err() != nil {
		i.say("interrupted; %s", again)
		return err
	}
	if hintOf(err) != "" {
		return err
	}
	return hinted(fmt.Errorf("%s is there, and the import is not done: %w", i.Name, err), again)
}

func (i *importing) tell(pushed int) error {
	for _, w := range i.warned {
		warn(i.app.errs, "%s", w)
	}
	full := repoOf(i.repo)
	said := importJSON{
		ID: full.ID, URL: full.URL, Name: full.Name, Source: publicURL(i.URL), ObjectFormat: full.ObjectFormat, Head: cmp.Or(full.Head, i.source.defaultBranch()),
		Refs: len(i.choice.take), Pushed: pushed, Skipped: append([]skippedRef{}, i.choice.skipped...), LeftOut: i.choice.hidden,
		Replicas: full.Replicas, Private: full.Private, Warnings: i.warned,
	}
	if i.JSON {
		return printJSON(i.app.out, said)
	}
	err := table(i.app.out, func(line func(string, ...any)) {
		line("URL\t%s", said.URL)
		line("source\t%s", said.Source)
		line("refs\t%d, %d of them new; the default branch is %s", said.Refs, said.Pushed, strings.TrimPrefix(said.Head, "refs/heads/"))
		if said.Private {
			line("private\t%s", privateText)
		}
		for _, p := range said.Replicas {
			line("replica\t%s", p.Peer)
		}
	})
	fmt.Fprintf(i.app.errs, "peer: hint: work on it: peer clone %s\n", said.Name)
	return err
}
