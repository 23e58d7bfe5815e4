package cmd

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"peer/node/control/pb"
)

// repoJSON is a repository as --json prints it. The names are part of the
// contract with scripts; fields are added, never renamed.
type repoJSON struct {
	ID           string        `json:"id"`
	Name         string        `json:"name"`
	Owner        string        `json:"owner"`
	URL          string        `json:"url"`
	Leader       string        `json:"leader"` // empty while nobody leads
	Term         uint64        `json:"term"`
	Index        uint64        `json:"index"`
	Replicas     []replicaJSON `json:"replicas"`
	Private      bool          `json:"private"`
	ObjectFormat string        `json:"object_format,omitempty"`
	Head         string        `json:"head,omitempty"` // the branch that HEAD names
	Lock         *lockJSON     `json:"lock,omitempty"`
	Problem      string        `json:"problem,omitempty"`
	Dir          string        `json:"dir,omitempty"`
	Wanted       *wantedJSON   `json:"wanted,omitempty"`
	Plan         string        `json:"plan,omitempty"` // what the leader does about the members
	Removed      *time.Time    `json:"removed,omitempty"`
	Committed    *commitJSON   `json:"committed,omitempty"` // the change that was asked for

	PolicyVersion uint64           `json:"policy_version,omitempty"`
	Roles         []roleJSON       `json:"roles,omitempty"`
	Protections   []protectionJSON `json:"protections,omitempty"`
}

type roleJSON struct {
	Owner string `json:"owner"` // did:key
	Role  string `json:"role"`
}

type protectionJSON struct {
	Pattern  string `json:"pattern"`
	Push     string `json:"push"` // the least role that may; or nobody
	NoForce  bool   `json:"no_force"`
	NoDelete bool   `json:"no_delete"`
}

// wantedJSON is what the owner wants of the group.
type wantedJSON struct {
	Replicas   uint32           `json:"replicas"`
	GraceMs    int64            `json:"grace_ms"` // negative: nobody is replaced
	On         []string         `json:"on,omitempty"`
	Off        []string         `json:"off,omitempty"`
	Priorities map[string]int32 `json:"priorities,omitempty"`
	Stay       bool             `json:"stay,omitempty"`
}

func wantedOf(w *pb.Wanted) *wantedJSON {
	if w == nil {
		return nil
	}
	out := &wantedJSON{Replicas: w.GetReplicas(), GraceMs: w.GetGraceMs(), On: w.GetOn(), Off: w.GetOff(), Stay: w.GetStay(), Priorities: map[string]int32{}}
	for _, p := range w.GetPriorities() {
		out.Priorities[p.GetPeer()] = p.GetPriority()
	}
	return out
}

type replicaJSON struct {
	Peer   string `json:"peer"`
	Alive  bool   `json:"alive"`
	InSync bool   `json:"in_sync"`
	Index  uint64 `json:"index"`
	Role   string `json:"role,omitempty"`
}

type lockJSON struct {
	Owner   string    `json:"owner"`
	Token   uint64    `json:"token"`
	Expires time.Time `json:"expires"`
	Reason  string    `json:"reason,omitempty"`
}

func repoOf(r *pb.Repo) repoJSON {
	out := repoJSON{
		ID: r.GetId(), Name: r.GetName(), Owner: r.GetOwner(), URL: r.GetUrl(),
		Leader: r.GetLeader(), Term: r.GetTerm(), Index: r.GetIndex(),
		Replicas: []replicaJSON{}, Private: r.GetPrivate(),
		ObjectFormat: r.GetObjectFormat(), Head: r.GetHead(), Lock: lockOf(r.GetLock()), Problem: r.GetProblem(), Dir: r.GetDir(),
	}
	for _, p := range r.GetReplicas() {
		out.Replicas = append(out.Replicas, replicaJSON{Peer: p.GetPeer(), Alive: p.GetAlive(), InSync: p.GetInSync(), Index: p.GetIndex(), Role: p.GetRole()})
	}
	out.Wanted, out.Plan, out.Committed = wantedOf(r.GetWanted()), r.GetPlan(), commitJSONOf(r.GetCommit())
	out.PolicyVersion = r.GetPolicy().GetVersion()
	for _, g := range r.GetPolicy().GetGrants() {
		out.Roles = append(out.Roles, roleJSON{Owner: g.GetKey(), Role: g.GetRole()})
	}
	for _, p := range r.GetPolicy().GetProtections() {
		out.Protections = append(out.Protections, protectionJSON{Pattern: p.GetPattern(), Push: p.GetPush(), NoForce: p.GetNoForce(), NoDelete: p.GetNoDelete()})
	}
	if ms := r.GetRemovedUnixMs(); ms != 0 {
		at := time.UnixMilli(ms).UTC()
		out.Removed = &at
	}
	return out
}

func reposOf(repos []*pb.Repo) []repoJSON {
	out := []repoJSON{}
	for _, r := range repos {
		out = append(out, repoOf(r))
	}
	return out
}

func lockOf(l *pb.Lock) *lockJSON {
	if l == nil || l.GetToken() == 0 {
		return nil
	}
	return &lockJSON{Owner: l.GetOwner(), Token: l.GetToken(), Expires: time.UnixMilli(l.GetExpiresUnixMs()).UTC(), Reason: l.GetReason()}
}

// printJSON prints v indented: people read it too.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table aligns rows whose cells are separated by tabs.
func table(w io.Writer, rows func(line func(format string, args ...any))) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	rows(func(format string, args ...any) { fmt.Fprintln(t, tidy(fmt.Sprintf(format, args...))) })
	return t.Flush()
}

// healthOf says in a few words how many replicas take part.
func healthOf(r *pb.Repo) string {
	inSync := 0
	for _, p := range r.GetReplicas() {
		if p.GetInSync() {
			inSync++
		}
	}
	total := len(r.GetReplicas())
	text := strconv.Itoa(inSync) + " of " + strconv.Itoa(total) + " in sync"
	switch {
	case r.GetRemovedUnixMs() != 0:
		return "removed by its owner on " + time.UnixMilli(r.GetRemovedUnixMs()).Local().Format(time.DateTime)
	case r.GetProblem() != "":
		return text + "; " + r.GetProblem()
	case r.GetLeader() == "":
		return text + ", no leader"
	case total == 1:
		return text + ", unreplicated"
	}
	return text
}

// shortPeer is enough of a peer ID to tell nodes apart by eye: the ends of
// Ed25519 ones differ, the beginnings don't.
func shortPeer(id string) string {
	const keep = 8
	if len(id) <= keep {
		return id
	}
	return "…" + id[len(id)-keep:]
}
