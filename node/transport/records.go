package transport

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	dht "github.com/libp2p/go-libp2p-kad-dht"
	kbucket "github.com/libp2p/go-libp2p-kbucket"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/routing"

	"peer/wire"
)

// ErrNotFound says that no host holds a valid record of the key.
var ErrNotFound = errors.New("no such record")

// A private network is small, so lookups are kept narrow: the numbers halve
// the latency of libp2p's defaults at thirty nodes.
const (
	dhtBucket      = 8
	dhtConcurrency = 3
	dhtResiliency  = 2
	dhtRefresh     = 10 * time.Minute
	recordAgeMax   = 48 * time.Hour

	tableWait = 500 * time.Millisecond // from a connection to a place in the table
	tablePoll = 5 * time.Millisecond
)

const recordNamespace = "peer"

func recordKey(key []byte) string { return "/" + recordNamespace + "/" + string(key) }

func (t *Transport) startDHT() error {
	mode := dht.ModeClient
	if t.cfg.Server {
		mode = dht.ModeServer
	}
	opts := []dht.Option{
		dht.ProtocolPrefix(t.names.prefix),
		dht.Mode(mode),
		dht.BucketSize(dhtBucket),
		dht.Concurrency(dhtConcurrency),
		dht.Resiliency(dhtResiliency),
		dht.RoutingTableRefreshPeriod(dhtRefresh),
		dht.MaxRecordAge(recordAgeMax),
		dht.Validator(record.NamespacedValidator{recordNamespace: validator{t.cfg.Records}}),
		dht.BootstrapPeersFunc(func() []peer.AddrInfo {
			all := make([]peer.AddrInfo, 0, len(t.boot))
			for _, info := range t.boot {
				all = append(all, info)
			}
			return all
		}),
	}
	d, err := dht.New(t.host, opts...)
	if err != nil {
		return err
	}
	t.dht = d
	t.parts.onClose(d.Close)
	return d.Bootstrap(t.ctx)
}

// validator hands records to the caller's rules.
type validator struct{ rules Records }

var errNoRecords = errors.New("this host takes no records")

func (v validator) Validate(key string, value []byte) error {
	raw, ok := strings.CutPrefix(key, "/"+recordNamespace+"/")
	switch {
	case v.rules == nil:
		return errNoRecords
	case !ok || raw == "":
		return fmt.Errorf("record key %.80q is not ours", key)
	case len(value) > wire.RecordBytesMax:
		return &wire.TooLargeError{Size: len(value), Max: wire.RecordBytesMax}
	}
	return v.rules.Validate([]byte(raw), value)
}

func (v validator) Select(key string, values [][]byte) (int, error) {
	if v.rules == nil {
		return 0, errNoRecords
	}
	return v.rules.Select([]byte(strings.TrimPrefix(key, "/"+recordNamespace+"/")), values)
}

// PutRecord stores a record here and at the hosts nearest to key. Where nobody
// else can be found yet it is stored here alone and that is no error: callers
// put again when hosts join, and well before the record ages.
func (t *Transport) PutRecord(ctx context.Context, key, value []byte) error {
	if len(t.host.Network().Peers()) > 0 {
		t.awaitTable(ctx, tableWait)
	}
	err := t.dht.PutValue(ctx, recordKey(key), value)
	if err != nil && !errors.Is(err, kbucket.ErrLookupFailure) {
		return fmt.Errorf("put record %x: %w", key, err)
	}
	return nil
}

// GetRecord finds the best valid record of key, or fails with ErrNotFound.
func (t *Transport) GetRecord(ctx context.Context, key []byte) ([]byte, error) {
	if err := t.Ready(ctx); err != nil {
		return nil, fmt.Errorf("get record %x: %w", key, err)
	}
	value, err := t.dht.GetValue(ctx, recordKey(key))
	switch {
	case errors.Is(err, routing.ErrNotFound), errors.Is(err, kbucket.ErrLookupFailure):
		return nil, fmt.Errorf("get record %x: %w", key, ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("get record %x: %w", key, err)
	}
	return value, nil
}

// Ready waits until the host has found somebody of its network, or has tried
// in vain all that it knows: a question asked before that finds nothing. It
// fails only when ctx ends or the transport closes.
func (t *Transport) Ready(ctx context.Context) error {
	if t.dht.RoutingTable().Size() > 0 {
		return nil
	}
	poll := time.NewTicker(tablePoll)
	defer poll.Stop()
	for t.dht.RoutingTable().Size() == 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.ctx.Done():
			return ErrClosed
		case <-t.keeper.settled:
			if len(t.host.Network().Peers()) > 0 {
				t.awaitTable(ctx, tableWait)
			}
			return nil
		case <-poll.C:
		}
	}
	return nil
}

// awaitTable gives a new connection the time it takes to become a neighbour in the DHT.
func (t *Transport) awaitTable(ctx context.Context, atMost time.Duration) {
	if t.dht.RoutingTable().Size() > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	poll := time.NewTicker(tablePoll)
	defer poll.Stop()
	for t.dht.RoutingTable().Size() == 0 {
		select {
		case <-ctx.Done():
			return
		case <-t.ctx.Done():
			return
		case <-poll.C:
		}
	}
}

// searches limits how often the DHT is asked for the addresses of one host
// that cannot be reached.
type searches struct {
	mu   sync.Mutex
	last map[peer.ID]time.Time
}

const (
	searchPause = 5 * time.Second
	searchesMax = 1024
)

func newSearches() *searches { return &searches{last: make(map[peer.ID]time.Time)} }

func (s *searches) may(id peer.ID, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.last[id]) < searchPause {
		return false
	}
	if len(s.last) >= searchesMax {
		clear(s.last)
	}
	s.last[id] = now
	return true
}
