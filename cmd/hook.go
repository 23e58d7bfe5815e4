package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
	"peer/node/hook"
)

type hookCmd struct {
	Add  hookAddCmd  `cmd:"" help:"Have this node post what happens to a repository to a URL."`
	Ls   hookLsCmd   `cmd:"" help:"List this node's hooks."`
	Rm   hookRmCmd   `cmd:"" help:"Drop a hook."`
	Test hookTestCmd `cmd:"" help:"Post a ping to a hook's URL, and say what became of it."`
}

type hookAddCmd struct {
	Repo         string   `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	URL          string   `arg:"" name:"url" help:"Where to post: http:// or https://."`
	SecretFile   string   `help:"File whose first line signs what is posted." placeholder:"FILE"`
	Events       []string `help:"What to tell of: push, leader, members." default:"push" placeholder:"EVENT,…"`
	AllowPrivate bool     `help:"The receiver may be on this machine, or in a private network."`
	JSON         bool     `name:"json" help:"Print JSON."`
}

type hookLsCmd struct {
	JSON bool `name:"json" help:"Print JSON."`
}

type hookRmCmd struct {
	ID string `arg:"" name:"id" help:"The first digits of its ID: peer hook ls."`
}

type hookTestCmd struct {
	ID string `arg:"" name:"id" help:"The first digits of its ID: peer hook ls."`
}

// hookJSON is how a hook is printed with --json.
type hookJSON struct {
	ID           string          `json:"id"`
	Repo         string          `json:"repo"`
	Name         string          `json:"name,omitempty"`
	URL          string          `json:"url"`
	Signed       bool            `json:"signed"`
	Events       []string        `json:"events"`
	AllowPrivate bool            `json:"allow_private"`
	Index        uint64          `json:"index"` // up to where it was told
	Delivered    *time.Time      `json:"delivered,omitempty"`
	FailingSince *time.Time      `json:"failing_since,omitempty"`
	Problem      string          `json:"problem,omitempty"`
	Missed       *hookMissedJSON `json:"missed,omitempty"` // entries that it was told nothing of
}

type hookMissedJSON struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

func hookOf(h *pb.Hook) hookJSON {
	out := hookJSON{
		ID: h.GetId(), Repo: h.GetRepo(), Name: h.GetName(), URL: h.GetUrl(), Signed: h.GetSigned(), Events: append([]string{}, h.GetEvents()...),
		AllowPrivate: h.GetAllowPrivate(), Index: h.GetIndex(), Problem: h.GetProblem(),
		Delivered: timeOrNil(h.GetDeliveredUnixMs()), FailingSince: timeOrNil(h.GetFailingSinceUnixMs()),
	}
	if h.GetMissedFirst() > 0 {
		out.Missed = &hookMissedJSON{h.GetMissedFirst(), h.GetMissedLast()}
	}
	return out
}

func timeOrNil(unixMs int64) *time.Time {
	if unixMs == 0 {
		return nil
	}
	at := time.UnixMilli(unixMs).UTC()
	return &at
}

// Run adds a hook.
func (c *hookAddCmd) Run(ctx context.Context, a *app) error {
	secret, err := c.secret(a)
	if err != nil {
		return err
	}
	home, err := a.Home()
	if err != nil {
		return err
	}
	repo, err := home.ResolveRepo(c.Repo)
	if err != nil {
		return err
	}
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		h, err := node.AddHook(ctx, &pb.AddHookRequest{Repo: repo.String(), Url: c.URL, Secret: secret, Events: c.Events, AllowPrivate: c.AllowPrivate})
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(a.out, hookOf(h))
		}
		fmt.Fprintln(a.out, h.GetId())
		fmt.Fprintf(a.errs, "peer: hint: see whether it answers: peer hook test %s\n", h.GetId())
		return nil
	})
}

// secret is the first line of the file.
func (c *hookAddCmd) secret(a *app) ([]byte, error) {
	if c.SecretFile == "" {
		return nil, nil
	}
	file, err := os.Open(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("secret file: %w", err)
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
		warn(a.errs, "others on this machine may read %s: chmod 600 %s", c.SecretFile, shellQuote(c.SecretFile))
	}
	raw, err := io.ReadAll(io.LimitReader(file, hook.SecretBytesMax+2))
	if err != nil {
		return nil, fmt.Errorf("secret file: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	line = strings.TrimSuffix(line, "\r")
	switch {
	case line == "":
		return nil, usage("a good one: openssl rand -hex 32", "the first line of %s is empty", c.SecretFile)
	case len(line) > hook.SecretBytesMax:
		return nil, usage("a good one: openssl rand -hex 32", "the first line of %s has more than %d bytes", c.SecretFile, hook.SecretBytesMax)
	}
	return []byte(line), nil
}

// Run lists the hooks.
func (c *hookLsCmd) Run(ctx context.Context, a *app) error {
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		reply, err := node.ListHooks(ctx, &pb.ListHooksRequest{})
		if err != nil {
			return err
		}
		list := []hookJSON{}
		for _, h := range reply.GetHooks() {
			list = append(list, hookOf(h))
		}
		if c.JSON {
			return printJSON(a.out, list)
		}
		return table(a.out, func(line func(string, ...any)) {
			for _, h := range list {
				name := h.Name
				if name == "" {
					name = h.Repo[:min(12, len(h.Repo))]
				}
				line("%s\t%s\t%s\t%s\t%s", h.ID, name, strings.Join(h.Events, ","), h.URL, h.health())
			}
		})
	})
}

// health says in a few words how a hook does.
func (h hookJSON) health() string {
	said := "told nothing yet"
	switch {
	case h.FailingSince != nil:
		said = "failing since " + h.FailingSince.Local().Format(time.DateTime) + ": " + h.Problem
	case h.Problem != "":
		said = h.Problem
	case h.Delivered != nil:
		said = "told up to index " + fmt.Sprint(h.Index) + ", at " + h.Delivered.Local().Format(time.DateTime)
	}
	if h.Missed != nil {
		said += fmt.Sprintf("; missed entries %d to %d", h.Missed.First, h.Missed.Last)
	}
	return said
}

// Run drops a hook.
func (c *hookRmCmd) Run(ctx context.Context, a *app) error {
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		_, err := node.RemoveHook(ctx, &pb.RemoveHookRequest{Id: c.ID})
		return err
	})
}

// Run tries a hook.
func (c *hookTestCmd) Run(ctx context.Context, a *app) error {
	return a.call(ctx, callTimeout, func(ctx context.Context, node *control.Client) error {
		reply, err := node.TestHook(ctx, &pb.TestHookRequest{Id: c.ID})
		if err != nil {
			return err
		}
		if p := reply.GetProblem(); p != "" {
			return hinted(errors.New("the receiver did not take a ping: "+p), "where it is, and how it fails otherwise: peer hook ls")
		}
		fmt.Fprintln(a.out, "the receiver took a ping")
		return nil
	})
}
