package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
)

type mirrorCmd struct {
	Add  mirrorAddCmd  `cmd:"" help:"Have a repository follow a URL, or a URL follow a repository."`
	Ls   mirrorLsCmd   `cmd:"" help:"List the mirrors of this home, and how they fare."`
	Rm   mirrorRmCmd   `cmd:"" help:"End a mirror. What it brought stays."`
	Sync mirrorSyncCmd `cmd:"" help:"Run mirrors now, in the foreground."`
}

type mirrorAddCmd struct {
	Repo  string        `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	URL   string        `arg:"" name:"url" help:"A repository elsewhere: a URL, HOST:PATH or a directory."`
	Pull  bool          `help:"REPO follows URL. The default."`
	Push  bool          `help:"URL follows REPO: what is different there is overwritten."`
	Every time.Duration `help:"How often. A push mirror also runs after each commit." default:"5m" placeholder:"TIME"`
	Refs  []string      `help:"Which refs, 'release/*' or 'refs/tags/v*' for instance; by default all branches and tags." placeholder:"PATTERN,…"`
	Force bool          `help:"Of --pull: refs also move back, sideways and away as they do elsewhere."`
	JSON  bool          `name:"json" help:"Print JSON."`
}

// mirrorJSON is part of the contract with scripts.
type mirrorJSON struct {
	mirror               // its URL without passwords
	Running   bool       `json:"running"`
	Started   *time.Time `json:"started,omitempty"`
	Ended     *time.Time `json:"ended,omitempty"`
	Succeeded *time.Time `json:"succeeded,omitempty"`
	Moved     int        `json:"moved"`
	Skipped   int        `json:"skipped"`
	Failures  int        `json:"failures"`
	Error     string     `json:"error,omitempty"`
}

// Run notes a mirror in the home, once both ends were seen to answer.
func (c *mirrorAddCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	m, err := c.mirror(ctx, a, home)
	if err != nil {
		return err
	}
	if err := home.checkMirror(ctx, m); err != nil {
		return err
	}
	if err := home.changeMirrors(func(all []mirror) ([]mirror, error) {
		for _, have := range all {
			if have.Repo == m.Repo && have.URL == m.URL {
				return nil, hinted(fmt.Errorf("there is a mirror of these two already, %s (%s)", have.ID, have.Direction), "end it first: peer mirror rm "+have.ID)
			}
		}
		return append(all, m), nil
	}); err != nil {
		return err
	}
	a.warnOfIdleMirrors(ctx, home)
	return a.tellMirrors(home, []mirror{m}, c.JSON)
}

// mirror checks the command line.
func (c *mirrorAddCmd) mirror(ctx context.Context, a *app, home *Home) (m mirror, err error) {
	m = mirror{ID: newMirrorID(), Direction: mirrorPull, EveryMs: c.Every.Milliseconds(), Force: c.Force}
	switch {
	case c.Pull && c.Push:
		return m, usage("choose one: --pull, REPO follows URL; --push, URL follows REPO", "--pull and --push exclude each other")
	case c.Push && c.Force:
		return m, usage("leave --force out", "a push mirror always forces")
	case c.Every < mirrorEveryMin || c.Every > mirrorEveryMax:
		return m, usage("--every 5m, for instance", "--every: want between %s and %s", mirrorEveryMin, mirrorEveryMax)
	case c.Push:
		m.Direction = mirrorPush
	}
	if len(c.Refs) > mirrorPatternsMax {
		return m, usage("use patterns: 'release/*'", "--refs: %d of them, want %d at most", len(c.Refs), mirrorPatternsMax)
	}
	for _, pattern := range c.Refs {
		full, err := mirrorPattern(pattern)
		if err != nil {
			return m, err
		}
		m.Refs = append(m.Refs, full)
	}
	if m.Refs = firstOfEach(m.Refs); len(m.Refs) == 0 {
		m.Refs = []string{"refs/heads/*", "refs/tags/*"}
	}
	if m.Repo, err = a.cloneURL(ctx, c.Repo); err != nil {
		return m, err
	}
	if m.URL, err = home.mirrorURL(c.URL); err == nil && m.URL == m.Repo {
		err = usage("name a repository elsewhere", "both ends are the same repository")
	}
	return m, err
}

// checkMirror asks both ends, as the node will: with nobody there to answer questions.
func (h *Home) checkMirror(ctx context.Context, m mirror) error {
	g, err := newUnattendedGit(ctx, h, h.mirrorPath(m.ID, ".git"))
	if err != nil {
		return err
	}
	outside, err := g.list(ctx, m.URL)
	if ctx.Err() != nil {
		return err
	}
	if err != nil {
		return hinted(fmt.Errorf("git can't read %s without asking somebody: %s", publicURL(m.URL), withoutSecrets(err.Error(), m.URL)),
			"it needs credentials that ask nobody: a credential helper of git, or an ssh key that your agent or your node has")
	}
	inside, err := g.list(ctx, m.Repo)
	if err != nil {
		return h.whyNotRead(ctx, m.Repo, err)
	}
	if len(outside.refs) > 0 && len(inside.refs) > 0 && outside.format() != inside.format() {
		return fmt.Errorf("%s has objects of %s, and %s of %s", publicURL(m.URL), outside.format(), m.Repo, inside.format())
	}
	return nil
}

// whyNotRead has the node say why a repository can't be read, with a code and a hint,
// where git had words alone.
func (h *Home) whyNotRead(ctx context.Context, repo string, said error) error {
	node, err := h.Dial(ctx)
	if err != nil {
		return said
	}
	defer node.Close()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := node.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo}); err != nil {
		return err
	}
	return said
}

// warnOfIdleMirrors says what keeps mirrors from running by themselves.
func (a *app) warnOfIdleMirrors(ctx context.Context, home *Home) {
	if u, err := home.userKey(); err == nil && (u.Place == inSealed || u.Place == inAgent) {
		warn(a.errs, "%v", errMirrorKey)
		return
	}
	node, err := home.Dial(ctx)
	if errors.Is(err, control.ErrNotRunning) {
		warn(a.errs, "no node runs for this home, so nothing runs this mirror: start one (peer node), or type: peer mirror sync")
	}
	if err == nil {
		_ = node.Close()
	}
}

type mirrorLsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

// Run lists the mirrors.
func (c *mirrorLsCmd) Run(a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	all, err := home.mirrors()
	if err != nil {
		return err
	}
	return a.tellMirrors(home, all, c.JSON)
}

func (a *app) tellMirrors(home *Home, all []mirror, asJSON bool) error {
	said := []mirrorJSON{}
	for _, m := range all {
		state, err := home.mirrorState(m.ID)
		if err != nil {
			return err
		}
		said = append(said, mirrorOf(m, state, home.mirrorRuns(m.ID)))
	}
	if asJSON {
		return printJSON(a.out, said)
	}
	return table(a.out, func(line func(string, ...any)) {
		for _, m := range said {
			arrow := "<-"
			if m.Direction == mirrorPush {
				arrow = "->"
			}
			line("%s\t%s %s %s\tevery %s\t%s", m.ID, m.Repo, arrow, m.URL, m.every(), m.health(time.Now()))
		}
	})
}

func mirrorOf(m mirror, s mirrorState, running bool) mirrorJSON {
	m.URL = publicURL(m.URL)
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		t = t.UTC()
		return &t
	}
	return mirrorJSON{
		mirror: m, Running: running, Started: at(s.Started), Ended: at(s.Ended), Succeeded: at(s.Succeeded),
		Moved: s.Moved, Skipped: s.Skipped, Failures: s.Failures, Error: s.Error,
	}
}

// health says in a few words how a mirror fares.
func (m mirrorJSON) health(now time.Time) string {
	var said []string
	if m.Running {
		said = append(said, "running")
	}
	if m.Succeeded != nil {
		said = append(said, fmt.Sprintf("done %s ago, %d refs moved", now.Sub(*m.Succeeded).Round(time.Second), m.Moved))
	} else {
		said = append(said, "never done")
	}
	if m.Skipped > 0 {
		said = append(said, fmt.Sprintf("%d refs left out", m.Skipped))
	}
	if m.Error != "" {
		said = append(said, fmt.Sprintf("failed %d times since: %s", m.Failures, m.Error))
	}
	return strings.Join(said, ", ")
}

// mirrorRuns says whether somebody runs it now.
func (h *Home) mirrorRuns(id string) bool {
	lock, err := flock(h.mirrorPath(id, ".lock"), false)
	if err == nil {
		_ = lock.Close()
	}
	return err != nil
}

type mirrorRmCmd struct {
	ID string `arg:"" name:"id" help:"The first digits of its ID: peer mirror ls."`
}

// mirrorRmPatience is how long rm waits for a run to be stopped by the node.
const mirrorRmPatience = 10 * time.Second

// Run removes a mirror.
func (c *mirrorRmCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	m, err := home.mirror(c.ID)
	if err != nil {
		return err
	}
	if err := home.changeMirrors(func(all []mirror) ([]mirror, error) {
		return slices.DeleteFunc(all, func(have mirror) bool { return have.ID == m.ID }), nil
	}); err != nil {
		return err
	}
	p := patience{total: mirrorRmPatience}
	for {
		lock, err := flock(home.mirrorPath(m.ID, ".lock"), false)
		if err == nil {
			defer lock.Close()
			return home.removeMirrorFiles(m.ID)
		}
		if !p.wait(ctx) {
			warn(a.errs, "it is running still; when that has ended, remove what it left: %s", home.mirrorPath(m.ID, ".*"))
			return ctx.Err()
		}
	}
}

type mirrorSyncCmd struct {
	ID []string `arg:"" name:"id" optional:"" help:"The first digits of their IDs; by default all: peer mirror ls."`
}

// Run runs mirrors in the foreground.
func (c *mirrorSyncCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	all, err := home.mirrors()
	if err != nil {
		return err
	}
	if len(c.ID) > 0 {
		all = nil
		for _, id := range c.ID {
			m, err := home.mirror(id)
			if err != nil {
				return err
			}
			all = append(all, m)
		}
	}
	failed := 0
	for _, m := range all {
		state, err := home.runMirror(ctx, m, false)
		for p := (patience{total: mirrorRunMax}); errors.Is(err, errMirrorBusy) && p.wait(ctx); {
			state, err = home.runMirror(ctx, m, false)
		}
		switch {
		case ctx.Err() != nil:
			return err
		case err != nil:
			failed++
			fmt.Fprintf(a.errs, "peer: error: mirror %s: %s\n", m.ID, tidy(err.Error()))
		default:
			fmt.Fprintf(a.out, "%s  %d refs moved\n", m.ID, state.Moved)
		}
	}
	if failed > 0 {
		return exitStatus(exitFailed)
	}
	return nil
}
