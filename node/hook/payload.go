package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// What a hook can be told of. A [Ping] is only ever asked for.
const (
	Push    = "push"    // refs moved, or HEAD
	Leader  = "leader"  // another replica leads
	Members = "members" // a seat was given, given up, or got or lost its vote
	Ping    = "ping"
)

// Events are the kinds that a hook can be told of.
var Events = []string{Push, Leader, Members}

// Event is what one entry of a log did.
type Event struct {
	Kind        string
	Repository  Repository
	Index, Term uint64
	Time        time.Time // the stamp of a push; others have none
	Pusher      string    // did:key
	Leader      string    // peer ID; empty where that is not known any more
	Detail      string
	Refs        []Ref
}

// Ref is one that moved. Old is empty where it did not exist, New where it was deleted.
type Ref struct{ Name, Old, New string }

// Repository says which one.
type Repository struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Owner string `json:"owner"` // did:key
	URL   string `json:"url"`
}

// payload is the contract with receivers (docs/hooks.md): fields are added, never renamed.
type payload struct {
	Event      string     `json:"event"`
	Delivery   string     `json:"delivery"`
	Repository Repository `json:"repository"`
	Index      uint64     `json:"index"`
	Term       uint64     `json:"term,omitempty"`
	Time       *time.Time `json:"time,omitempty"`
	Pusher     string     `json:"pusher,omitempty"`
	Leader     string     `json:"leader,omitempty"`
	Detail     string     `json:"detail,omitempty"`
	Refs       []refJSON  `json:"refs,omitempty"`
	Missed     *missed    `json:"missed,omitempty"`
}

type refJSON struct {
	Name    string `json:"name"`
	Old     string `json:"old"`
	New     string `json:"new"`
	Created bool   `json:"created"`
	Deleted bool   `json:"deleted"`
	Forced  *bool  `json:"forced,omitempty"` // absent: it can't be told
}

// missed are entries of which the receiver was told nothing.
type missed struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// forcedMax is for how many branches of one push git is asked whether they were forced.
const forcedMax = 100

// deliveryOf makes the request that tells a hook of an event.
func (k *Keeper) deliveryOf(ctx context.Context, v View, e Event) (delivery, error) {
	p := payload{
		Event: e.Kind, Delivery: deliveryID(v.ID, e), Repository: e.Repository, Index: e.Index, Term: e.Term,
		Pusher: e.Pusher, Leader: e.Leader, Detail: e.Detail,
	}
	if !e.Time.IsZero() {
		at := e.Time.UTC()
		p.Time = &at
	}
	if v.GetMissedFirst() > 0 {
		p.Missed = &missed{v.GetMissedFirst(), v.GetMissedLast()}
	}
	asked := 0
	for _, r := range e.Refs {
		out := refJSON{Name: r.Name, Old: r.Old, New: r.New, Created: r.Old == "", Deleted: r.New == ""}
		switch {
		case out.Created || out.Deleted:
			out.Forced = new(bool)
		case strings.HasPrefix(r.Name, "refs/heads/") && asked < forcedMax:
			asked++
			if forced, err := k.cfg.Source.Forced(ctx, v.Repo, r); err == nil {
				out.Forced = &forced
			}
		}
		p.Refs = append(p.Refs, out)
	}
	body, err := json.Marshal(p)
	return delivery{url: v.GetUrl(), event: e.Kind, id: p.Delivery, secret: v.GetSecret(), body: body}, err
}

// deliveryID is the same whenever a hook is told of the same event.
func deliveryID(hook string, e Event) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "peer/hook/1 %s %s %d %s", hook, e.Repository.ID, e.Index, e.Kind))
	return hex.EncodeToString(sum[:16])
}
