package transport

import (
	"context"
	"errors"

	"peer/identity"
	"peer/wire"
)

// ErrClosed is the cause of everything that [Transport.Close] ended.
var ErrClosed = errors.New("transport closed")

// ErrNotFound says that no host holds a valid record of the key.
var ErrNotFound = errors.New("no such record")

// ErrOtherNetwork says that the host that answered belongs to another network.
var ErrOtherNetwork = errors.New("belongs to a network with another rendezvous string")

// Transport is a libp2p host of one network. Its methods may be called from
// any goroutine; after Close they fail.
type Transport struct{}

// New starts a host: it listens, and begins to look for its network in the
// background. A network that nobody answers for is no error.
func New(ctx context.Context, cfg Config) (*Transport, error) { return nil, ErrClosed }

// Close ends all streams and connections, and waits, two seconds at most, for
// the handlers and callbacks to return.
func (t *Transport) Close() error { return nil }

// Self is the host's own ID.
func (t *Transport) Self() identity.PeerID { return "" }

// Addrs are the multiaddrs, each ending in /p2p/ID, that others may dial; the
// most widely reachable first.
func (t *Transport) Addrs() []string { return nil }

// Open opens a stream, dialling if there is no connection: the addresses come
// from the address book, then from the DHT. Protocol is a short name such as
// session/1. The stream outlives ctx.
func (t *Transport) Open(ctx context.Context, to identity.PeerID, protocol string) (wire.Stream, error) {
	return nil, ErrClosed
}

// Handle serves protocol: h runs on a goroutine of its own for each stream
// that another host opens, and the stream ends when h returns: in order if h
// closed it, or its writing side; by a reset if not, or if h panicked.
func (t *Transport) Handle(protocol string, h func(from identity.PeerID, s wire.Stream)) {}

// Connect makes sure that there is a connection.
func (t *Transport) Connect(ctx context.Context, to identity.PeerID) error { return ErrClosed }

// Redial asks anew whether a process answers as to: over the connection if
// there is one, otherwise by an immediate dial of its known addresses, with no
// backoff and no search. An error means refused or unanswered until ctx ended.
func (t *Transport) Redial(ctx context.Context, to identity.PeerID) error { return ErrClosed }

// Connected lists the hosts to which there is a connection.
func (t *Transport) Connected() []identity.PeerID { return nil }

// IsConnected says whether there is a connection to id. It is no sign of life.
func (t *Transport) IsConnected(id identity.PeerID) bool { return false }

// Addr is the remote multiaddr of a connection to id; empty without one.
func (t *Transport) Addr(id identity.PeerID) string { return "" }

// Protect keeps the connection to id when there are too many, or no longer.
func (t *Transport) Protect(id identity.PeerID, keep bool) {}

// OnPeer has f called when the first connection to a host is made and when
// the last one is gone. Calls come one at a time, in order for each host; f
// must return soon.
func (t *Transport) OnPeer(f func(id identity.PeerID, connected bool)) {}

// AddAddrs adds to what is known of id's addresses. Those that are no
// multiaddrs are skipped; a /p2p/ID at the end is optional.
func (t *Transport) AddAddrs(id identity.PeerID, addrs []string) {}

// KnownAddrs are the addresses at which id would be dialled.
func (t *Transport) KnownAddrs(id identity.PeerID) []string { return nil }

// Join subscribes to a topic. validate runs before a message is relayed or
// received, on many goroutines at once; from is the neighbour that passed it
// on. receive gets the valid messages of others, one at a time. leave waits
// for receive to return, so receive must not call it.
func (t *Transport) Join(topic string, validate func(from identity.PeerID, data []byte) bool, receive func(from identity.PeerID, data []byte)) (leave func(), err error) {
	return nil, ErrClosed
}

// Publish sends data to the subscribers of a topic that was joined. At most
// wire.RecordBytesMax bytes; delivery is best effort.
func (t *Transport) Publish(ctx context.Context, topic string, data []byte) error { return ErrClosed }

// PutRecord stores a record here and at the hosts nearest to key. Where nobody
// else can be found yet it is stored here alone and that is no error: callers
// put again when hosts join, and well before the record ages.
func (t *Transport) PutRecord(ctx context.Context, key, value []byte) error { return ErrClosed }

// GetRecord finds the best valid record of key, or fails with ErrNotFound.
func (t *Transport) GetRecord(ctx context.Context, key []byte) ([]byte, error) { return nil, ErrClosed }

// FindPeers looks for hosts of the network under the rendezvous string. Their
// addresses are remembered; they are not dialled.
func (t *Transport) FindPeers(ctx context.Context) ([]identity.PeerID, error) { return nil, ErrClosed }

// Ready waits until the host has found somebody of its network, or has tried
// in vain all that it knows: a question asked before that finds nothing. It
// fails only when ctx ends or the transport closes.
func (t *Transport) Ready(ctx context.Context) error { return ErrClosed }
