package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

type watchCmd struct {
	Repo string `arg:"" optional:"" help:"A repository; without it, all that the node holds."`
	JSON bool   `name:"json" help:"Print one JSON object a line."`
}

type eventJSON struct {
	Repo   string       `json:"repo"`
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

// Run prints events until it is interrupted. A node that stops is waited for.
func (c *watchCmd) Run(ctx context.Context, a *app) error {
	home, err := a.Home()
	if err != nil {
		return err
	}
	repo := ""
	if c.Repo != "" {
		ref, err := home.ResolveRepo(c.Repo)
		if err != nil {
			return err
		}
		repo = ref.String()
	}
	show := printEvent
	if c.JSON {
		show = printEventJSON
	}
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	for {
		var printing error
		err := node.Watch(ctx, repo, func(e *pb.Event) error {
			printing = show(a.out, e)
			return printing
		})
		_ = node.Close() // it was only read from
		switch {
		case ctx.Err() != nil:
			return nil // Ctrl-C is how one ends it
		case printing != nil || isFinal(err):
			return err
		}
		warn(a.errs, "the node is gone; waiting for it to come back")
		if node = redial(ctx, home); node == nil {
			return nil
		}
		warn(a.errs, "the node is back; what happened meanwhile: peer log")
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
	head := tidy(fmt.Sprintf("%s  %s  %s  index %d, term %d", at, e.GetRepo(), e.GetKind(), e.GetIndex(), e.GetTerm()))
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

func printEventJSON(w io.Writer, e *pb.Event) error {
	out := eventJSON{
		Repo: e.GetRepo(), Kind: e.GetKind(), Index: e.GetIndex(), Term: e.GetTerm(), Leader: e.GetLeader(),
		Time: time.UnixMilli(e.GetUnixMs()).UTC(), Signer: e.GetSigner(), Peer: e.GetPeer(), Detail: e.GetDetail(),
	}
	for _, r := range e.GetRefs() {
		out.Refs = append(out.Refs, changeJSON{Name: r.GetName(), Old: r.GetOld(), New: r.GetNew()})
	}
	return json.NewEncoder(w).Encode(out)
}
