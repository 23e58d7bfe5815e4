package cmd

import (
	"context"

	"peer/wire"
)

// dialer brings sessions to replicas. The node of the home is one, through
// *control.Client; where no node runs, a libp2p host of our own is another.
type dialer interface {
	// Session opens a stream to a replica that can serve repo, a repository ID;
	// with push set, to the leader where one is known. The context bounds the
	// opening and the stream's life. The caller closes or resets the stream, and
	// a Reset makes a blocked Read and Write return.
	Session(ctx context.Context, repo string, push bool) (wire.Session, error)
	Close() error
}
