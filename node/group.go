package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/election"
	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// group is one repository's group as this node takes part in it: the pure
// member, the repository on disk, and who waits for what.
type group struct {
	n       *Node
	genesis *replica.Genesis
	log     *slog.Logger
	repo    *git.Repo
	staging *staging
	pub     *publisher
	readers readers
	work    *groupWork
	doubter doubter
	voucher voucher
	growth  growth

	gathering gathering // belongs to the maintenance loop
	// packsGo is held while packs are removed that others replace, and while git
	// checks the objects: it would take what goes for damage.
	packsGo sync.Mutex
	// introduced are nodes that proved a seat which this replica's log does not name yet.
	introduced atomic.Pointer[[]identity.PeerID]
	// membership is who has which seat, for those beside the loop.
	membership atomic.Pointer[replica.Membership]
	// former are nodes that lost their seats while this process ran.
	former atomic.Pointer[[]identity.PeerID]
	// roles are those of the policy, likewise.
	roles atomic.Pointer[func(identity.PublicKey) wire.Access]
	// toldIndex is up to where a private group's members were told of it. Only
	// announceLoop's goroutine touches it.
	toldIndex uint64

	// All below belongs to the loop's goroutine.
	core    *replica.Group
	raftLog replica.Log
	raftID  uint64 // this replica's seat
	// problem is why this replica no longer takes part. It neither votes nor
	// acknowledges; it goes on serving what it has, marked stale.
	problem error
	// publishedSaved is up to where a restart need not publish again.
	publishedSaved uint64
	waiting        map[txKey][]chan<- *wire.Outcome
	reads          map[uint64]chan<- uint64
	claims         map[*claimWait]bool // of members that ask for an entry yet to come
	readSeq        uint64
	leader         leadership
	bases          map[uint64]int // of the pushes in flight here
	announcing     announcing
	checked        uint64 // the tick in which the leader last said that the group sleeps
	needing        bool   // something is being fetched; see catchup.go
	pace           pace
	offered        offered
	// inquiring: another member has another table, and the others are being asked.
	// doubt is set while too few of them answer to say which one is damaged.
	inquiring bool
	doubt     error
	told      told
	// plan is what a leader last decided about the members.
	plan replica.Plan
	// asked is when senders that are not known here were asked who they are, in ticks.
	asked map[identity.PeerID]uint64
	// lostBefore are the seats whose nodes said last time that they lost them. Only
	// repairLoop's goroutine touches it.
	lostBefore map[uint64]bool
	stalls     map[uint64]stall // likewise
	// dropped: this replica is no longer one, and nothing concerns it any more.
	dropped bool
	// settings is the version that was last acted on.
	settings uint64
}

// txKey names a transaction that somebody waits for. The hash of its bytes is
// part of it: others may be on their way under the same ID, and are refused.
type txKey struct {
	signer identity.PublicKey
	id     [replica.TransactionIDBytes]byte
	sum    [sha256.Size]byte
}

// newTxKey fails where nobody can be waiting.
func newTxKey(signer identity.PublicKey, id, sum []byte) (key txKey, ok bool) {
	if len(id) != replica.TransactionIDBytes || len(sum) != sha256.Size {
		return key, false
	}
	return txKey{signer, [replica.TransactionIDBytes]byte(id), [sha256.Size]byte(sum)}, true
}

func publishedKey(repo identity.RepoID) string { return "published/" + repo.String() }

func repoDir(base string, g *replica.Genesis) string {
	return filepath.Join(base, g.Owner.PeerID().String(), g.Name+".git")
}

// openGroup brings a group back from disk: the table from the store, then the
// objects and refs that a crash left behind it.
func (n *Node) openGroup(ctx context.Context, repo identity.RepoID) (*group, error) {
	table, err := replica.LoadTable(func(f func(string, []byte) error) error { return n.cfg.Store.Table(repo, f) }, n.rules)
	if err != nil {
		return nil, err
	}
	genesis := table.Genesis()
	if genesis.Repo != repo {
		return nil, fmt.Errorf("its genesis is of repository %s", genesis.Repo.Short())
	}
	g := &group{
		n: n, genesis: genesis, work: newGroupWork(n.ctx), log: n.log.With("repo", genesis.Name, "id", repo.Short()),
		bases: map[uint64]int{}, waiting: map[txKey][]chan<- *wire.Outcome{}, asked: map[identity.PeerID]uint64{}, stalls: map[uint64]stall{}, reads: map[uint64]chan<- uint64{},
		leader: leadership{changed: make(chan struct{}), pace: election.Pace{BaseTicks: handOverTicks}},
		// Random, so that an answer meant for the process before is not taken for ours.
		readSeq: rand.Uint64(),
	}
	format, err := git.ParseFormat(genesis.ObjectFormat)
	if err != nil {
		return nil, err
	}
	if g.repo, err = git.Create(ctx, repoDir(n.cfg.ReposDir, genesis), format, genesis.DefaultBranch); err != nil {
		return nil, err
	}
	if err := g.repo.RemoveLeftovers(); err != nil {
		return nil, err
	}
	if g.staging, err = openStaging(g.repo.Dir(), n.cfg.Fail); err != nil {
		return nil, err
	}
	log, err := n.cfg.Store.Log(repo)
	if err != nil {
		return nil, err
	}
	own, err := n.seatOf(table)
	if err != nil {
		return nil, err
	}
	g.problem = own.problem
	g.core, err = replica.New(replica.Config{
		Self: n.self, RaftID: own.raftID, Log: log, Table: table, Rules: n.rules, Payloads: g.staging,
		Logger: raftLogger{g.log}, Key: n.cfg.Key,
	})
	if err != nil {
		return nil, err
	}
	g.raftID = g.core.Self().RaftID
	g.membership.Store(g.core.Membership())
	g.noteRoles()
	log.SetSnapshotFunc(g.snapshot)
	g.raftLog = log
	if g.problem == nil {
		if g.problem, err = g.remembered(); err != nil {
			return nil, err
		}
	}
	for _, m := range own.introduced {
		if m.RaftID != own.raftID {
			_ = g.introduce(own.proved, m) // one that the log has given up since is no news
		}
	}
	if err := g.loadPublished(); err != nil {
		return nil, err
	}
	if err := g.replay(ctx, table); err != nil {
		return nil, err
	}
	return g, nil
}

// introduce has this replica listen to a seat that proved itself. The loop calls
// it, or whoever opens the group.
func (g *group) introduce(proved *replica.Lineage, m replica.Member) error {
	if err := g.core.Introduce(proved, m); err != nil {
		return err
	}
	known := g.introduced.Load()
	list := []identity.PeerID{m.Peer}
	if known != nil && len(*known) < 2*replica.MembersMax {
		list = append(list, *known...)
	}
	g.introduced.Store(&list)
	return nil
}

// fellows are the nodes that have a seat beside this one.
func (g *group) fellows() []identity.PeerID {
	var list []identity.PeerID
	for _, m := range g.members().Members {
		list = append(list, m.Peer)
	}
	if more := g.introduced.Load(); more != nil {
		list = append(list, *more...)
	}
	return list
}

// members is who has which seat, as of the last entry applied.
func (g *group) members() *replica.Membership { return g.membership.Load() }

func (g *group) snapshot() (*pb.Snapshot, error) {
	s, err := g.core.Snapshot()
	if err != nil {
		g.log.Warn("no snapshot", "error", err)
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return s, nil
}

// leave takes this replica out of its group: it met something that it must not guess about.
func (g *group) leave(err error) {
	if g.problem == nil {
		g.problem = err
		g.log.Error("this replica leaves its group", "error", err)
		g.wakeAll() // it may have led
	}
}

// carryOut acts on a turn that is durable.
func (g *group) carryOut(t *replica.Turn) {
	if t.Membership != nil {
		g.membershipChanged(t.Membership)
	}
	if t.LeaderChanged {
		g.leaderChanged(t.Leader)
	}
	if t.Installed != nil || len(t.Applied) > 0 {
		g.pub.push(publication{installed: t.Installed, applied: t.Applied})
	}
	for _, a := range t.Applied {
		g.answer(a)
	}
	for _, r := range t.Reads {
		g.answerRead(r)
	}
	g.noteRoles()
	g.answerClaims()
	if v := g.core.Table().Settings().GetVersion(); v != g.settings {
		g.settings = v
		g.n.repairSoon()
	}
	g.n.applied(g, t.Applied)
	g.reached()
	if d := t.Differs; d != nil {
		g.differs(d.Here.GetIndex(), fmt.Sprintf("entry %d tells its leader's", d.Entry))
	}
}

// answer tells those who wait for a transaction what became of it.
func (g *group) answer(a replica.Applied) {
	key, ok := newTxKey(a.Signer, a.ID, a.Outcome.GetTxSha256())
	if !ok {
		return
	}
	for _, ch := range g.waiting[key] {
		ch <- a.Outcome // buffered for one
	}
	delete(g.waiting, key)
}

func (g *group) answerRead(r replica.Read) {
	if len(r.Context) != 8 {
		return
	}
	seq := binary.BigEndian.Uint64(r.Context)
	if ch, ok := g.reads[seq]; ok {
		ch <- r.Index // buffered for one
		delete(g.reads, seq)
	}
}

// readRoundTrips is what a confirmed read takes, at most, where the way is long:
// from a follower to its leader, from there to a majority, and back.
const readRoundTrips = 3

// readIndex asks the leader for an index that is no older than anything
// acknowledged before now.
func (g *group) readIndex(ctx context.Context) (uint64, error) {
	for {
		ch := make(chan uint64, 1)
		seq, err := ask(ctx, g.n, func() uint64 {
			g.readSeq++
			if g.problem == nil {
				g.reads[g.readSeq] = ch
				g.core.ReadIndex(binary.BigEndian.AppendUint64(nil, g.readSeq))
				g.n.touch(g)
			}
			return g.readSeq
		})
		if err != nil {
			return 0, err
		}
		select {
		case index := <-ch:
			return index, nil
		case <-ctx.Done():
		case <-time.After(g.n.cfg.Tick*2 + readRoundTrips*g.roundTrip()): // it may have got lost with a leader
		}
		g.n.post(func() {
			delete(g.reads, seq)
			g.wakeAll()
		})
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
}

// state asks the loop what this replica knows.
func (g *group) state(ctx context.Context) (replica.State, error, error) {
	type both struct {
		s replica.State
		p error
	}
	b, err := ask(ctx, g.n, func() both { return both{g.core.State(), g.problem} })
	return b.s, b.p, err
}
