package node

import (
	"context"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Configure changes what the owner wants of a group: change gets the present
// settings and makes them others. If somebody else was faster it is asked again.
// The leader then moves the members towards them; [Client.Show] says how far it is.
func (c *Client) Configure(ctx context.Context, repo identity.RepoID, change func(Info, *wire.Settings) error) (Info, *replica.Done, error) {
	const triesMax = 3
	for try := 1; ; try++ {
		info, err := c.Show(ctx, repo)
		if err != nil {
			return info, nil, err
		}
		next := &wire.Settings{}
		if info.Settings != nil {
			next, _ = proto.Clone(info.Settings).(*wire.Settings)
		}
		old := next.GetVersion()
		if err := change(info, next); err != nil {
			return info, nil, err
		}
		done, err := c.operate(ctx, repo, &wire.Operation{Kind: &wire.Operation_Configure{Configure: &wire.Configure{OldVersion: old, Settings: next}}})
		if err == nil {
			info, err = c.Show(ctx, repo)
			return info, done, err
		}
		if !done.Stale() || try == triesMax {
			return info, nil, err
		}
	}
}
