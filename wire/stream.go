package wire

import (
	"io"
	"time"
)

// SessionVersion is the version of the session protocol: hellos name it, and so do
// nodes that are asked whether they would take a repository.
const SessionVersion = 1

// SilenceMax is how long a client waits for a frame, or for room to write one, before
// it takes a replica for dead. One that is busy for longer says so with a Progress.
const SilenceMax = time.Minute

// Stream is one conversation with another process: a libp2p stream, a pipe, a
// tunnel through the local node. Close ends it in order; Reset tells the other
// side that what it got is not whole. Both may be called more than once.
type Stream interface {
	io.ReadWriter
	// CloseWrite says that nothing more will be written; reading goes on.
	CloseWrite() error
	Close() error
	Reset() error
	SetDeadline(time.Time) error
}

// Session is a stream to a replica, which may be at the end of others.
type Session struct {
	Stream
	// To is the peer ID of whom the hello is for: the replica. Empty: an older node is
	// in between, which does not say.
	To []byte
}
