package node

import (
	"context"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// Network is what a node needs of the transport. Streams are authenticated:
// from is whose key the other side proved in the handshake.
type Network interface {
	Self() identity.PeerID
	Addrs() []string
	KnownAddrs(identity.PeerID) []string
	AddAddrs(identity.PeerID, []string)
	// Open must return when ctx ends. The stream outlives ctx.
	Open(ctx context.Context, to identity.PeerID, protocol string) (wire.Stream, error)
	// Handle runs h on a goroutine of its own for each stream.
	Handle(protocol string, h func(from identity.PeerID, s wire.Stream))
	// Redial fails when no process answers as to: refused, or silent until ctx ends.
	Redial(ctx context.Context, to identity.PeerID) error
	Connected() []identity.PeerID
	IsConnected(identity.PeerID) bool
	Addr(identity.PeerID) string
	Protect(id identity.PeerID, keep bool)
	// OnPeer calls f when the first connection is made and the last one is gone.
	// f must return soon.
	OnPeer(f func(id identity.PeerID, connected bool))
	Join(topic string, validate func(from identity.PeerID, data []byte) bool, receive func(from identity.PeerID, data []byte)) (leave func(), err error)
	Publish(ctx context.Context, topic string, data []byte) error
	PutRecord(ctx context.Context, key, value []byte) error
	GetRecord(ctx context.Context, key []byte) ([]byte, error)
}

// Store is what a node needs of its disk, beside the repositories. After any
// failed write all later ones fail.
type Store interface {
	Repos() ([]identity.RepoID, error)
	Log(identity.RepoID) (replica.Log, error)
	Table(identity.RepoID, func(key string, value []byte) error) error
	// Save makes a turn of all groups durable. It returns after the sync.
	Save(turn []replica.Save) error

	PutSeat(repo identity.RepoID, nonce []byte, at time.Time) error
	Seat(identity.RepoID) (nonce []byte, ok bool, err error)
	DropSeat(identity.RepoID) error
	// DropRepo forgets the log, the table and the seat of a repository.
	DropRepo(identity.RepoID) error
	Seats(func(repo identity.RepoID, nonce []byte, at time.Time) error) error

	Get(key string) ([]byte, bool, error)
	Put(key string, value []byte) error
	Scan(prefix string, f func(key string, value []byte) error) error
}

// refusedSave is what an error of Save is that wrote nothing and concerns one
// repository alone: the store goes on.
type refusedSave interface {
	error
	Refused() identity.RepoID
}

// The protocols between nodes. The network's name is part of what goes over
// the wire, so nodes of different networks share none.
const (
	protocolRaft    = "raft/1"
	protocolGroup   = "group/1"
	protocolSession = "session/1"
)
