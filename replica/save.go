package replica

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
)

// Log is one group's durable log as raft reads it. Its methods are called on
// the goroutine that steps the group, and answer from what was last saved.
type Log interface {
	raft.Storage
	// SetSnapshotFunc says who makes the snapshots that raft asks the log for.
	SetSnapshotFunc(func() (*pb.Snapshot, error))
}

// Save is what one turn of one group must make durable, all of it or none.
// Nothing that rests on it, no message and no reply, may leave before it is.
type Save struct {
	Repo identity.RepoID

	// HardState replaces the term, vote and commit index; nil leaves them.
	HardState *pb.HardState
	// Entries are appended; those already stored from the first one's index on go.
	Entries []*pb.Entry
	// Install replaces the whole log by its position, and the table by Table.
	Install *pb.SnapshotMetadata
	// Table changes the table.
	Table []Change
	// CompactTo forgets the log up to and including this index; zero keeps it.
	// The store remembers its term.
	CompactTo uint64
	// Conf is the raft configuration as of the applied index; nil leaves it.
	Conf *pb.ConfState
}

// Change sets one key of a table, or deletes it when Value is nil.
type Change struct {
	Key   string
	Value []byte
}
