package cmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"peer/node/control/pb"
)

type repoReplicasCmd struct {
	Repo   string         `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Add    []string       `help:"Nodes that should hold a replica, by peer ID, did:key or petname." placeholder:"NODE,…"`
	Remove []string       `help:"Nodes that should not." placeholder:"NODE,…"`
	Count  int            `help:"How many replicas, an odd number." placeholder:"N"`
	Grace  string         `help:"How long a node may be gone before another takes its place, or never." placeholder:"TIME"`
	Prefer map[string]int `help:"Who should rather lead: the higher number, then the higher ID. 0: no preference." placeholder:"NODE=N"`
	Stay   *bool          `help:"Whether a leader stays when a better one comes back." negatable:""`
	Wait   time.Duration  `help:"How long to wait until it is done." default:"1m" placeholder:"TIME"`
	JSON   bool           `name:"json" help:"Print JSON."`
}

// graceMin keeps a restart from looking like a loss.
const graceMin = time.Minute

// Run shows the replicas, or says which ones the owner wants and waits for them.
func (c *repoReplicasCmd) Run(ctx context.Context, a *app) error {
	request, err := c.request(a)
	if err != nil {
		return err
	}
	changes := len(c.Add)+len(c.Remove)+len(c.Prefer) > 0 || c.Count != 0 || c.Grace != "" || c.Stay != nil
	return a.callRepoFor(ctx, changeTimeout+c.Wait, changes, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		request.Repo = repo
		if !changes {
			r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
			if err != nil {
				return err
			}
			return c.print(a.out, r)
		}
		r, err := from.Configure(ctx, request)
		if err != nil {
			return unanswered(err, c.Repo)
		}
		commit := r.GetCommit()
		a.committed(commit, c.JSON)
		if r, err = c.await(ctx, a, from, r); err != nil {
			return err
		}
		r.Commit = commit
		return c.print(a.out, r)
	})
}

func (c *repoReplicasCmd) request(a *app) (*pb.ConfigureRequest, error) {
	home, err := a.Home()
	if err != nil {
		return nil, err
	}
	q := &pb.ConfigureRequest{Count: uint32(max(c.Count, 0)), Stay: c.Stay}
	if c.Count < 0 || c.Count != 0 && c.Count%2 == 0 {
		return nil, usage("3 replicas go on when one is lost, 5 when two are", "--count: want an odd number, not %d", c.Count)
	}
	peer := func(flag, name string) (string, error) {
		key, err := home.ParseOwner(name)
		if err != nil {
			return "", usage("a node is a peer ID, a did:key or a petname", "--%s %.100s: %w", flag, name, err)
		}
		return key.PeerID().String(), nil
	}
	for _, name := range c.Add {
		id, err := peer("add", name)
		if err != nil {
			return nil, err
		}
		q.Add = append(q.Add, id)
	}
	for _, name := range c.Remove {
		id, err := peer("remove", name)
		if err != nil {
			return nil, err
		}
		q.Remove = append(q.Remove, id)
	}
	for name, n := range c.Prefer {
		id, err := peer("prefer", name)
		if err != nil {
			return nil, err
		}
		q.Priorities = append(q.Priorities, &pb.Priority{Peer: id, Priority: int32(n)})
	}
	q.GraceMs, err = parseGrace(c.Grace)
	return q, err
}

func parseGrace(text string) (int64, error) {
	switch text {
	case "":
		return 0, nil
	case "never":
		return -1, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < graceMin {
		return 0, usage("--grace 24h, for instance, or --grace never", "--grace %.40s: want a time of %s at least", text, graceMin)
	}
	return d.Milliseconds(), nil
}

// await tells what the leader does until the replicas are as they should be.
func (c *repoReplicasCmd) await(ctx context.Context, a *app, from repoAPI, r *pb.Repo) (*pb.Repo, error) {
	said := ""
	for end := time.Now().Add(c.Wait); ; {
		if done(r) {
			return r, nil
		}
		if plan := r.GetPlan(); plan != "" && plan != said {
			fmt.Fprintf(a.errs, "peer: %s\n", plan)
			said = plan
		}
		if time.Now().After(end) {
			fmt.Fprintf(a.errs, "peer: hint: it is recorded and goes on by itself; follow it: peer watch %s\n", shellQuote(c.Repo))
			return r, nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		// NB: while the leader changes the answer may be an error for a moment.
		if next, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: r.GetId()}); err == nil {
			r = next
		}
	}
}

// done: as many replicas as wanted, all of them full members, none that should not be.
func done(r *pb.Repo) bool {
	on := map[string]bool{}
	for _, p := range r.GetReplicas() {
		if p.GetRole() != "voter" {
			return false
		}
		on[p.GetPeer()] = true
	}
	for _, p := range r.GetWanted().GetOff() {
		if on[p] {
			return false
		}
	}
	return len(on) == int(r.GetWanted().GetReplicas()) && r.GetLeader() != ""
}

func (c *repoReplicasCmd) print(w io.Writer, r *pb.Repo) error {
	if c.JSON {
		return printJSON(w, repoOf(r))
	}
	return table(w, func(line func(string, ...any)) {
		want := r.GetWanted()
		line("wanted\t%d; %s", want.GetReplicas(), describeGrace(want.GetGraceMs()))
		for _, p := range r.GetReplicas() {
			line("replica\t%s  %s", p.GetPeer(), describeReplica(r, p))
		}
		for _, p := range want.GetPriorities() {
			line("prefer\t%s  %d", p.GetPeer(), p.GetPriority())
		}
		if off := want.GetOff(); len(off) > 0 {
			line("not on\t%s", strings.Join(off, " "))
		}
		if r.GetPlan() != "" {
			line("now\t%s", r.GetPlan())
		}
	})
}

func describeGrace(ms int64) string {
	if ms < 0 {
		return "a node that is gone is never replaced"
	}
	return "a node that is gone for " + (time.Duration(ms) * time.Millisecond).String() + " is replaced"
}
