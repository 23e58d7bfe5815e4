package node

import (
	"context"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// AcquireLock takes, or with a token renews, the write lease of a repository in
// the name of this home's key. Others' pushes are refused while it lasts.
func (c *Client) AcquireLock(ctx context.Context, repo identity.RepoID, ttl time.Duration, reason string, token uint64) (*wire.Lock, *replica.Done, error) {
	done, err := c.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_AcquireLock{AcquireLock: &wire.AcquireLock{
		TtlMs: ttl.Milliseconds(), Reason: reason, Token: token,
	}}})
	if err != nil {
		return nil, nil, err
	}
	public := c.user.Public()
	if token == 0 {
		token = done.Outcome.GetIndex()
	}
	return &wire.Lock{Owner: public[:], Token: token, ExpiresUnixMs: time.Now().Add(ttl).UnixMilli(), Reason: reason}, done, nil
}

// ReleaseLock gives the lease back.
func (c *Client) ReleaseLock(ctx context.Context, repo identity.RepoID, token uint64) (*replica.Done, error) {
	return c.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_ReleaseLock{ReleaseLock: &wire.ReleaseLock{Token: token}}})
}
