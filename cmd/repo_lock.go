package cmd

import (
	"context"
	"fmt"
	"time"

	"peer/node/control"
	"peer/node/control/pb"
	"peer/wire"
)

// Bounds of a lock's time.
const (
	lockTTLMin = time.Second
	lockTTLMax = 24 * time.Hour
)

type repoLockCmd struct {
	Repo   string        `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	TTL    time.Duration `name:"ttl" help:"When it ends by itself." default:"10m" placeholder:"TIME"`
	Reason string        `help:"What to tell those who are refused." placeholder:"TEXT"`
	Token  uint64        `help:"Renew the lock with this token." placeholder:"N"`
	JSON   bool          `name:"json" help:"Print JSON."`
}

// takenJSON is a lock that was taken just now.
type takenJSON struct {
	*lockJSON
	Committed *commitJSON `json:"committed,omitempty"`
}

// Run takes or renews the lock.
func (c *repoLockCmd) Run(ctx context.Context, a *app) error {
	if c.TTL < lockTTLMin || c.TTL > lockTTLMax {
		return usage("--ttl 10m, for instance", "--ttl: want between %s and %s", lockTTLMin, lockTTLMax)
	}
	return a.changeRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		reply, err := from.AcquireLock(ctx, &pb.AcquireLockRequest{
			Repo: repo, TtlMs: c.TTL.Milliseconds(), Reason: c.Reason, Token: c.Token,
		})
		if err != nil {
			return err
		}
		a.committed(reply.GetCommit(), c.JSON)
		lock := lockOf(reply.GetLock())
		if c.JSON {
			return printJSON(a.out, takenJSON{lock, commitJSONOf(reply.GetCommit())})
		}
		if lock == nil {
			return fmt.Errorf("the node did not say which lock it took; look: peer repo show %s", shellQuote(c.Repo))
		}
		fmt.Fprintf(a.out, "locked %s: %s\n", c.Repo, describeLock(lock))
		fmt.Fprintf(a.errs, "peer: hint: give it back: peer repo unlock %s --token %d\n", shellQuote(c.Repo), lock.Token)
		return nil
	})
}

type repoUnlockCmd struct {
	Repo  string `arg:"" help:"NAME of your own, OWNER/NAME, a peer:// URL or an ID."`
	Token uint64 `help:"The lock's token; by default that of your own lock." placeholder:"N"`
}

// Run gives the lock back.
func (c *repoUnlockCmd) Run(ctx context.Context, a *app) error {
	return a.changeRepo(ctx, c.Repo, func(ctx context.Context, from repoAPI, repo string) error {
		token := c.Token
		if token == 0 {
			var err error
			if token, err = a.ownLock(ctx, from, repo); err != nil {
				return err
			}
		}
		reply, err := from.ReleaseLock(ctx, &pb.ReleaseLockRequest{Repo: repo, Token: token})
		if err != nil {
			return err
		}
		a.committed(reply.GetCommit(), false)
		_, err = fmt.Fprintf(a.out, "unlocked %s\n", c.Repo)
		return err
	})
}

// ownLock is the token of the lock that this home's key holds.
func (a *app) ownLock(ctx context.Context, from repoAPI, repo string) (uint64, error) {
	r, err := from.ShowRepo(ctx, &pb.ShowRepoRequest{Repo: repo})
	if err != nil {
		return 0, err
	}
	lock := lockOf(r.GetLock())
	if lock == nil {
		return 0, &control.Error{Code: wire.FailureCode_FAILURE_NOT_FOUND, Message: "nobody holds a lock on " + r.GetName()}
	}
	key, err := a.home.Me()
	if err != nil {
		return 0, err
	}
	if lock.Owner != key.DID() {
		return 0, &control.Error{Code: wire.FailureCode_FAILURE_NOT_ALLOWED, Message: "the lock on " + r.GetName() + " is not yours: " + describeLock(lock)}
	}
	return lock.Token, nil
}

func describeLock(l *lockJSON) string {
	text := fmt.Sprintf("token %d, held by %s until %s", l.Token, l.Owner, l.Expires.Local().Format(time.DateTime))
	if l.Reason != "" {
		text += ": " + l.Reason
	}
	return text
}
