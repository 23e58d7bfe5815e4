package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

type watchCmd struct {
	Repo        string        `arg:"" optional:"" help:"A repository; without it, all that the node holds."`
	JSON        bool          `name:"json" help:"Print one JSON object a line."`
	Since       *uint64       `help:"Begin with the commits after this index of the log." placeholder:"INDEX"`
	Exec        *string       `help:"Instead of printing, have sh run this, one at a time, for each ref that moved and for each other event." placeholder:"COMMAND"`
	ExecTimeout time.Duration `help:"How long each run may take; 0: as long as it likes." default:"1h" placeholder:"TIME"`
}

type eventJSON struct {
	Repo   string       `json:"repo"`
	Name   string       `json:"name,omitempty"` // of the repository
	URL    string       `json:"url,omitempty"`
	Kind   string       `json:"kind"`
	Index  uint64       `json:"index"`
	Term   uint64       `json:"term"`
	Leader string       `json:"leader"`
	Time   time.Time    `json:"time"`
	Refs   []changeJSON `json:"refs,omitempty"`
	Signer string       `json:"signer,omitempty"` // did:key of whose push it was
	Peer   string       `json:"peer,omitempty"`   // whom it is about
	Detail string       `json:"detail,omitempty"`
}

type changeJSON struct {
	Name string `json:"name"`
	Old  string `json:"old"` // empty: it did not exist
	New  string `json:"new"` // empty: it was deleted
}

// watchAgain is between two attempts to reach a node that went away.
const watchAgain = 300 * time.Millisecond

// Run shows events until it is interrupted. A node that stops is waited for.
func (c *watchCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	show, err := c.shower(ctx, a)
	if err != nil {
		return err
	}
	q := &pb.WatchRequest{Since: c.Since}
	if c.Repo != "" {
		ref, err := home.ResolveRepo(c.Repo)
		if err != nil {
			return err
		}
		q.Repo = ref.String()
	}
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	if c.Exec != nil && c.Repo != "" && q.Since == nil {
		// From the log, which waits for a command that is slow.
		r, err := node.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: q.GetRepo()})
		if err != nil {
			return errors.Join(err, node.Close())
		}
		q.Since = &r.Index
	}
	for {
		var showing error
		err := node.Watch(ctx, q, func(e *pb.Event) error {
			if showing = show(e); showing == nil && q.Since != nil && fromLog(e) {
				q.Since = &e.Index // here a restarted node goes on
			}
			return showing
		})
		_ = node.Close() // it was only read from
		switch {
		case ctx.Err() != nil:
			c.sayWhere(a.errs, q)
			return nil // Ctrl-C is how one ends it
		case showing != nil || isFinal(err):
			return err
		}
		warn(a.errs, "the node is gone; waiting for it to come back")
		if node = redial(ctx, home); node == nil {
			c.sayWhere(a.errs, q)
			return nil
		}
		if q.Since == nil {
			warn(a.errs, "the node is back; what happened meanwhile: peer log")
		} else {
			warn(a.errs, "the node is back; going on after index %d", q.GetSince())
		}
	}
}

// shower is what becomes of an event.
func (c *watchCmd) shower(ctx context.Context, a *app) (func(*pb.Event) error, error) {
	switch {
	case c.Since != nil && c.Repo == "":
		return nil, usage("peer watch REPO --since INDEX", "--since needs a repository: each has a log of its own")
	case c.Exec != nil && strings.TrimSpace(*c.Exec) == "":
		return nil, usage("peer watch --exec COMMAND", "the command of --exec is empty")
	case c.Exec != nil && c.JSON:
		return nil, usage("the command reads the event, as JSON, from its standard input", "--json and --exec exclude each other: with --exec nothing is printed but what the command prints")
	case c.ExecTimeout < 0:
		return nil, usage("0 is as long as it likes", "--exec-timeout can't be less than nothing")
	case c.Exec != nil:
		r, err := c.runner(a)
		return func(e *pb.Event) error { return r.run(ctx, e) }, err
	case c.JSON:
		return func(e *pb.Event) error { return printEventJSON(a.out, e) }, nil
	}
	return func(e *pb.Event) error { return printEvent(a.out, e) }, nil
}

// fromLog says that an event stands for a place in the log, up to which nothing
// else is to come.
func fromLog(e *pb.Event) bool {
	return e.GetKind() == "commit" || e.GetKind() == "gap" && e.GetIndex() > 0
}

// sayWhere says how to go on later without missing anything.
func (c *watchCmd) sayWhere(w io.Writer, q *pb.WatchRequest) {
	if q.Since != nil {
		fmt.Fprintf(w, "peer: hint: to go on from here: peer watch %s --since %d\n", shellQuote(c.Repo), q.GetSince())
	}
}

// isFinal says that the node answered, and that asking again changes nothing.
func isFinal(err error) bool {
	switch codeOf(err) {
	case wire.FailureCode_FAILURE_NOT_FOUND, wire.FailureCode_FAILURE_BAD_REQUEST, wire.FailureCode_FAILURE_NOT_ALLOWED:
		return true
	}
	return false
}

func codeOf(err error) wire.FailureCode {
	if refusal := control.AsError(err); refusal != nil {
		return refusal.Code
	}
	return wire.FailureCode_FAILURE_UNSPECIFIED
}

// redial waits for the home's node; nil when ctx ended first.
func redial(ctx context.Context, home *Home) *control.Client {
	for {
		if node, err := home.Dial(ctx); err == nil {
			return node
		}
		select {
		case <-time.After(watchAgain):
		case <-ctx.Done():
			return nil
		}
	}
}

func printEvent(w io.Writer, e *pb.Event) error {
	at := time.UnixMilli(e.GetUnixMs()).Local().Format(time.TimeOnly)
	head := tidy(fmt.Sprintf("%s  %s  %s  index %d, term %d", at, cmp.Or(e.GetName(), e.GetRepo(), "-"), e.GetKind(), e.GetIndex(), e.GetTerm()))
	if e.GetLeader() != "" {
		head += ", leader " + shortPeer(tidy(e.GetLeader()))
	} else if e.GetKind() == "leader" {
		head += ", nobody leads"
	}
	if e.GetSigner() != "" {
		head += ", by " + shortPeer(tidy(e.GetSigner()))
	}
	if e.GetPeer() != "" {
		head += "  " + shortPeer(tidy(e.GetPeer()))
	}
	if e.GetDetail() != "" {
		head += " " + tidy(e.GetDetail())
	}
	if _, err := fmt.Fprintln(w, head); err != nil {
		return err
	}
	for _, r := range e.GetRefs() {
		if _, err := fmt.Fprintln(w, "          "+tidy(describeChange(r))); err != nil {
			return err
		}
	}
	return nil
}

// oidShown is how much of an object ID a person gets to see.
const oidShown = 10

func describeChange(r *pb.RefChange) string {
	short := func(oid string) string { return oid[:min(oidShown, len(oid))] }
	switch {
	case r.GetOld() == "":
		return fmt.Sprintf("new      %s  %s", r.GetName(), short(r.GetNew()))
	case r.GetNew() == "":
		return fmt.Sprintf("deleted  %s  was %s", r.GetName(), short(r.GetOld()))
	}
	return fmt.Sprintf("moved    %s  %s..%s", r.GetName(), short(r.GetOld()), short(r.GetNew()))
}

func printEventJSON(w io.Writer, e *pb.Event) error { return json.NewEncoder(w).Encode(eventOf(e)) }

func eventOf(e *pb.Event) eventJSON {
	out := eventJSON{
		Repo: e.GetRepo(), Name: e.GetName(), URL: e.GetUrl(), Kind: e.GetKind(), Index: e.GetIndex(), Term: e.GetTerm(), Leader: e.GetLeader(),
		Time: time.UnixMilli(e.GetUnixMs()).UTC(), Signer: e.GetSigner(), Peer: e.GetPeer(), Detail: e.GetDetail(),
	}
	for _, r := range e.GetRefs() {
		out.Refs = append(out.Refs, changeJSON{Name: r.GetName(), Old: r.GetOld(), New: r.GetNew()})
	}
	return out
}
