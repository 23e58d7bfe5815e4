package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// ErrClosed is why the work of a closed node ends.
var ErrClosed = errors.New("node is closed")

// Node is a running peer: the groups it has seats in, the loop that steps them,
// and the protocols it serves.
type Node struct {
	*Client
	cfg   Config
	self  identity.PeerID
	log   *slog.Logger
	rules replica.Rules

	ctx    context.Context // ends, with its cause, when the node stops
	cancel context.CancelCauseFunc
	// work counts every goroutine of the node; see spawn.
	work     sync.WaitGroup
	spawning sync.Mutex

	started time.Time
	runID   uint64        // drawn at each start, and never zero
	knows   atomic.Uint32 // the newest version of an entry, as others are told
	loop    loop
	raftOut senders
	raftIn  raftStrangers
	near    neighbours
	ails    ailments
	usage   usage
	repairs repairs
	events  hub
	// admitted bounds what strangers can keep busy.
	sessions                                         crowd
	rates                                            *pushRates
	smallPushes, largePushes, servedPacks, verifying chan struct{}

	// fresh tells the announcer of groups that others should hear of soon. When
	// it is full they wait for their turn.
	fresh chan *group
	// toJoin tells the maintainer of groups that got many packs.
	toJoin chan *group
	// missed are the repositories whose group is being asked for.
	missed sync.Map
	// founding keeps two requests from founding the same group at once.
	founding sync.Mutex
	waiting  map[identity.RepoID]waitingSeat // guarded by founding

	mu     sync.RWMutex
	groups map[identity.RepoID]*group
	broken map[identity.RepoID]*broken
}

// Open starts a node: it brings every group back to where its disk says it
// was, and serves. It does not own the network and the store; close them after it.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	n := &Node{
		Client: &Client{user: cfg.User, self: cfg.Key, net: cfg.Network, log: cfg.Logger, cache: cfg.Store, closed: cfg.Closed, admit: cfg.Admit},
		cfg:    cfg, self: cfg.Network.Self(), log: cfg.Logger,
		rules:       replica.Rules{CheckRefName: git.CheckRefName},
		started:     time.Now(),
		runID:       1 + rand.Uint64N(math.MaxUint64),
		sessions:    crowd{of: map[visitor]int{}},
		rates:       newPushRates(cfg.PushRate, float64(cfg.PushBurst), time.Now),
		smallPushes: make(chan struct{}, smallPushesMax),
		largePushes: make(chan struct{}, largePushesMax),
		servedPacks: make(chan struct{}, largePushesMax),
		verifying:   make(chan struct{}, 1),
		fresh:       make(chan *group, freshQueued),
		toJoin:      make(chan *group, toJoinQueued),
		waiting:     map[identity.RepoID]waitingSeat{},
		groups:      map[identity.RepoID]*group{},
		broken:      map[identity.RepoID]*broken{},
	}
	if err := git.MkdirAll(cfg.ReposDir, 0o700); err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	n.ctx, n.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	n.knows.Store(replica.EntryVersion)
	n.loop.init(cfg.Tick)
	n.raftOut.init(n)
	n.near.of = map[identity.PeerID]*neighbour{}
	n.repairs.init()
	repos, err := cfg.Store.Repos()
	if err != nil {
		return nil, fmt.Errorf("open node: %w", err)
	}
	for _, repo := range repos {
		g, err := n.openGroup(ctx, repo)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			n.keepBroken(repo, err)
			continue
		}
		n.groups[repo] = g
		n.meet(g)
	}
	n.here = n
	n.start()
	return n, nil
}

func (n *Node) start() {
	n.spawn(n.run)
	n.lookForRoom()
	net := n.cfg.Network
	net.Handle(protocolRaft, n.serveRaft)
	net.Handle(protocolGroup, n.serveGroup)
	net.Handle(protocolSession, func(from identity.PeerID, s wire.Stream) { n.serveSession(from, s) })
	net.OnPeer(n.peerChanged)
	n.spawn(n.beatLoop)
	n.spawn(n.announceLoop)
	n.spawn(n.maintainLoop)
	n.spawn(n.scrubLoop)
	n.spawn(n.repairLoop)
	for _, g := range n.allGroups() {
		g.protectMembers()
		n.post(func() { g.seek(foundingGrace) })
	}
}

// spawn runs f on a goroutine that Close waits for. A node that stops takes up
// no new work: then f does not run.
func (n *Node) spawn(f func()) {
	n.spawning.Lock()
	defer n.spawning.Unlock()
	if n.ctx.Err() == nil {
		n.work.Go(f)
	}
}

// Self is the node's peer ID.
func (n *Node) Self() identity.PeerID { return n.self }

// Done is closed when the node stopped, by Close or because its disk failed.
func (n *Node) Done() <-chan struct{} { return n.ctx.Done() }

// Err says why the node stopped.
func (n *Node) Err() error { return context.Cause(n.ctx) }

// Close stops the node and waits for all it started.
func (n *Node) Close() error {
	n.spawning.Lock() // whoever is spawning counts its work before we wait for it
	n.cancel(ErrClosed)
	n.spawning.Unlock()
	n.work.Wait()
	if err := n.Err(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// fail stops the node: its disk no longer does what it says, so no promise can be kept.
func (n *Node) fail(err error) {
	n.log.Error("node stops", "error", err)
	n.cancel(err)
}

func (n *Node) group(repo identity.RepoID) *group {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.groups[repo]
}

func (n *Node) allGroups() []*group {
	n.mu.RLock()
	defer n.mu.RUnlock()
	all := make([]*group, 0, len(n.groups))
	for _, g := range n.groups {
		all = append(all, g)
	}
	return all
}

// admit takes a place, or says that the node is busy. Call the result to leave.
func admit(ctx context.Context, places chan struct{}) (func(), error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// admitPush takes a place among the packs that are indexed at a time. A pusher
// that must wait too long is told, rather than kept silent.
func (n *Node) admitPush(ctx context.Context, places chan struct{}) (func(), error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	leave, err := admit(ctx, places)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, failure(wire.FailureCode_FAILURE_BUSY, fmt.Sprintf("the leader indexes %d packs already", cap(places)), "nothing was changed; push again in a moment")
	}
	return leave, err
}
