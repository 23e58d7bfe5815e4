package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"peer/node/control/pb"
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
}

type changeJSON struct {
	Name string `json:"name"`
	Old  string `json:"old"` // empty: it did not exist
	New  string `json:"new"` // empty: it was deleted
}

// Run prints events until it is interrupted or the node stops.
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
	node, err := home.Dial(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	show := printEvent
	if c.JSON {
		show = printEventJSON
	}
	err = node.Watch(ctx, repo, func(e *pb.Event) error { return show(a.out, e) })
	if err != nil && ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil // Ctrl-C is how one ends it
	}
	return err
}

func printEvent(w io.Writer, e *pb.Event) error {
	at := time.UnixMilli(e.GetUnixMs()).Local().Format(time.TimeOnly)
	head := tidy(fmt.Sprintf("%s  %s  %s  index %d, term %d", at, e.GetRepo(), e.GetKind(), e.GetIndex(), e.GetTerm()))
	if e.GetLeader() != "" {
		head += ", leader " + shortPeer(tidy(e.GetLeader()))
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
		Time: time.UnixMilli(e.GetUnixMs()).UTC(),
	}
	for _, r := range e.GetRefs() {
		out.Refs = append(out.Refs, changeJSON{Name: r.GetName(), Old: r.GetOld(), New: r.GetNew()})
	}
	return json.NewEncoder(w).Encode(out)
}
