package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"peer/node/control/pb"
)

type logCmd struct {
	Repo     string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Count    uint32 `short:"n" default:"20" help:"How many entries, at most 1000." placeholder:"N"`
	Receipts bool   `help:"Mark the entries of which this home has a receipt, and check these."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

// logJSON is the end of a repository's log, oldest entry first.
type logJSON struct {
	First   uint64         `json:"first"` // where the log begins
	Index   uint64         `json:"index"`
	Peer    string         `json:"peer"`
	Entries []logEntryJSON `json:"entries"`
}

type logEntryJSON struct {
	Index   uint64          `json:"index"`
	Term    uint64          `json:"term"`
	Time    *time.Time      `json:"time,omitempty"`
	Signer  string          `json:"signer,omitempty"` // did:key; the group's own entries have none
	Changes []logChangeJSON `json:"changes"`
	More    uint32          `json:"more,omitempty"`
	Refused string          `json:"refused,omitempty"`
	Receipt *logReceiptJSON `json:"receipt,omitempty"` // with --receipts, where this home has one
}

// logReceiptJSON is what became of checking the receipt for an entry.
type logReceiptJSON struct {
	File   string `json:"file"`
	Signed int    `json:"signed"`
	Voters int    `json:"voters"`
	Error  string `json:"error,omitempty"` // it does not hold
}

type logChangeJSON struct {
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Old     string `json:"old,omitempty"`
	New     string `json:"new,omitempty"`
	Refused string `json:"refused,omitempty"`
}

// Run prints who moved what, and when.
func (c *logCmd) Run(ctx context.Context, a *app) error {
	return a.callRepoFor(ctx, callTimeout, false, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		r, err := from.Log(ctx, &pb.LogRequest{Repo: repo, Count: c.Count})
		if err != nil {
			return err
		}
		checked := map[uint64]*logReceiptJSON{}
		if c.Receipts {
			if checked, err = a.checkReceipts(c.Repo, r); err != nil {
				return err
			}
		}
		if c.JSON {
			return printJSON(a.out, logOf(r, checked))
		}
		aliases, err := a.home.Aliases()
		if err != nil {
			return err
		}
		return printLog(a.out, r, checked, petnames(aliases))
	})
}

func logOf(r *pb.LogReply, checked map[uint64]*logReceiptJSON) logJSON {
	out := logJSON{First: r.GetFirst(), Index: r.GetIndex(), Peer: r.GetPeer(), Entries: []logEntryJSON{}}
	for _, e := range r.GetEntries() {
		entry := logEntryJSON{
			Index: e.GetIndex(), Term: e.GetTerm(), Signer: e.GetSigner(), More: e.GetMore(), Refused: e.GetRefused(), Changes: []logChangeJSON{},
			Receipt: checked[e.GetIndex()],
		}
		if e.GetUnixMs() != 0 {
			at := time.UnixMilli(e.GetUnixMs()).UTC()
			entry.Time = &at
		}
		for _, ch := range e.GetChanges() {
			entry.Changes = append(entry.Changes, logChangeJSON{Kind: ch.GetKind(), Name: ch.GetName(), Old: ch.GetOld(), New: ch.GetNew(), Refused: ch.GetRefused()})
		}
		out.Entries = append(out.Entries, entry)
	}
	return out
}

// petnames turns the home's aliases round: by did:key.
func petnames(aliases map[string]string) map[string]string {
	by := make(map[string]string, len(aliases))
	for name, did := range aliases {
		if have, ok := by[did]; !ok || name < have {
			by[did] = name
		}
	}
	return by
}

func printLog(w io.Writer, r *pb.LogReply, checked map[uint64]*logReceiptJSON, names map[string]string) error {
	if r.GetFirst() > 2 {
		if _, err := fmt.Fprintf(w, "the log begins at index %d; what came before is in the refs\n", r.GetFirst()); err != nil {
			return err
		}
	}
	for _, e := range r.GetEntries() {
		at, who := "-", "the group"
		if e.GetUnixMs() != 0 {
			at = time.UnixMilli(e.GetUnixMs()).Local().Format(time.DateTime)
		}
		if who == "the group" && e.GetSigner() != "" {
			who = e.GetSigner()
			if name := names[who]; name != "" {
				who = name
			}
		}
		head := fmt.Sprintf("index %d, term %d  %s  %s", e.GetIndex(), e.GetTerm(), at, who)
		if e.GetRefused() != "" {
			head += "  refused: " + e.GetRefused()
		}
		if at := checked[e.GetIndex()]; at != nil && at.Error == "" {
			head += fmt.Sprintf("  receipt by %d of %d", at.Signed, at.Voters)
		} else if at != nil {
			head += "  bad receipt: " + at.Error
		}
		if _, err := fmt.Fprintln(w, tidy(head)); err != nil {
			return err
		}
		for _, ch := range e.GetChanges() {
			line := describeLogChange(ch)
			if ch.GetRefused() != "" {
				line += "  refused: " + ch.GetRefused()
			}
			if _, err := fmt.Fprintln(w, "  "+tidy(line)); err != nil {
				return err
			}
		}
		if e.GetMore() > 0 {
			if _, err := fmt.Fprintf(w, "  and %d more\n", e.GetMore()); err != nil {
				return err
			}
		}
	}
	return nil
}

func describeLogChange(c *pb.LogChange) string {
	switch c.GetKind() {
	case "ref":
		return describeChange(&pb.RefChange{Name: c.GetName(), Old: c.GetOld(), New: c.GetNew()})
	case "head":
		return "HEAD     " + c.GetName()
	case "members":
		return "members changed"
	}
	return strings.TrimSpace(c.GetKind() + "  " + c.GetName())
}
