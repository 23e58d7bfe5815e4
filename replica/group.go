package replica

import (
	"cmp"
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// ElectionTicks is raft's own patience: a follower that hears nothing campaigns
// after that many ticks to twice that, and a leader steps down that no majority
// answers in that time. Liveness between nodes is usually faster.
const ElectionTicks = 10

const (
	heartbeatTicks = 1
	// Limits on what is in flight and what one turn applies, in bytes.
	messageBytesMax   = 1 << 20
	committedBytesMax = 2 << 20
	uncommittedMax    = 64 << 20
	inflightMessages  = 256
)

// ErrNotLeader says that this member can't take a proposal now. Nothing was proposed.
var ErrNotLeader = errors.New("not the leader")

// A LostLogError says that this member acknowledged entries that its log no
// longer has: its disk was replaced, or restored from a backup. It must neither
// vote nor acknowledge again.
type LostLogError struct{ Acknowledged, Last uint64 }

func (e *LostLogError) Error() string {
	return fmt.Sprintf("the group knows that entry %d was stored here, but the log ends at %d: this home was restored from a backup, or lost data", e.Acknowledged, e.Last)
}

// Payloads answers whether a payload is durable on this replica's disk.
type Payloads interface {
	Held(signer, transactionID []byte, p *wire.Payload) bool
}

// Config is what a group needs. All fields but RaftID are required.
type Config struct {
	Self identity.PeerID
	// RaftID is this member's seat. Zero: the one that the table names. A learner
	// that has no entry yet is not in its table.
	RaftID   uint64
	Log      Log
	Table    *Table
	Rules    Rules
	Payloads Payloads
	Logger   raft.Logger
	// WriteChanges is after how many changes of the table a write of a turn ends.
	// Default: as many as the store takes; only tests have another.
	WriteChanges int
	// Key is that of this member's node. It signs what this member vouches for.
	Key identity.Key
}

// Group is one member of a repository's group. It is not safe for concurrent
// use: one goroutine steps it.
type Group struct {
	genesis  *Genesis
	self     Member // its role as of the table may be another
	rn       *raft.RawNode
	log      Log
	table    *Table
	rules    Rules
	payloads Payloads
	key      identity.Key

	leader uint64 // as of the last Turn
	// held is a message from the leader that waits for bytes; see Step. meeting is
	// the one whose need the driver is meeting: an older one, if held replaced it.
	held, meeting *pb.Message
	// ticks counts Tick; heard is when each member was last heard.
	ticks uint64
	heard map[uint64]uint64
	// asleep: see FallAsleep. calm is for how many ticks there was nothing to do.
	asleep bool
	calm   int
	// compacted is the last index asked to be forgotten.
	compacted uint64
	states    states
	// introduced holds seats that proved themselves and are not in the table, as
	// this member is behind the entry that gave them.
	introduced map[uint64]Member
	change     change
	trail      trail
	attested   attested
	// writeChanges: see Config.
	writeChanges int
}

// New starts a member from what its store holds.
func New(c Config) (*Group, error) {
	g := &Group{
		genesis: c.Table.Genesis(), log: c.Log, table: c.Table,
		rules: c.Rules, payloads: c.Payloads, key: c.Key, heard: map[uint64]uint64{}, introduced: map[uint64]Member{},
		writeChanges: cmp.Or(c.WriteChanges, writeChangesMax),
	}
	seat, ok := c.Table.members.Member(c.Self)
	switch {
	case c.RaftID != 0:
		g.self = Member{RaftID: c.RaftID, Peer: c.Self}
	case ok:
		g.self = seat
	default:
		return nil, fmt.Errorf("%s has no seat in the group of %s", c.Self, g.genesis.Name)
	}
	rn, err := startRaft(&raft.Config{
		ID:                        g.self.RaftID,
		ElectionTick:              ElectionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   c.Log,
		Applied:                   c.Table.Index(),
		MaxSizePerMsg:             messageBytesMax,
		MaxCommittedSizePerReady:  committedBytesMax,
		MaxUncommittedEntriesSize: uncommittedMax,
		MaxInflightMsgs:           inflightMessages,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		Logger:                    c.Logger,
		// A follower that is asked to propose must say so: the client goes to the leader.
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
	})
	if err != nil {
		return nil, fmt.Errorf("group of %s: %w", g.genesis.Name, err)
	}
	g.rn = rn
	g.states.add(g.table)
	if err := g.loadTrail(); err != nil {
		return nil, fmt.Errorf("group of %s: %w", g.genesis.Name, err)
	}
	return g, nil
}

// startRaft makes an error of raft's panics over a log and a table on disk that don't
// belong together: that concerns one group, and its node may have others.
func startRaft(c *raft.Config) (rn *raft.RawNode, err error) {
	defer func() {
		if problem := recover(); problem != nil {
			err = fmt.Errorf("what is stored does not fit together: %v", problem)
		}
	}()
	return raft.NewRawNode(c)
}

// Genesis is the group's genesis.
func (g *Group) Genesis() *Genesis { return g.genesis }

// Self is this member's seat, with the role that the table gives it. One that the
// table does not name yet, or no more, is a learner's.
func (g *Group) Self() Member {
	if seat, ok := g.table.members.Seat(g.self.RaftID); ok {
		return seat
	}
	return Member{RaftID: g.self.RaftID, Peer: g.self.Peer, Role: Learner}
}

// Membership is who has which seat, as of the last entry applied here.
func (g *Group) Membership() *Membership { return g.table.members }

// Table is the replicated state. It changes with every Turn; only the goroutine
// that steps the group may look.
func (g *Group) Table() *Table { return g.table }

// Tick tells the group that one tick has passed.
func (g *Group) Tick() {
	g.ticks++
	g.rn.Tick()
	g.change.due = g.table.members.Joint()
	g.conclude()
}

// Campaign asks for votes now.
func (g *Group) Campaign() error {
	g.Wake()
	return g.rn.Campaign()
}

// ForgetLeader lets this member vote for another candidate before raft's own
// timeout. It is for a member that has its own evidence that the leader is gone.
func (g *Group) ForgetLeader() error {
	g.Wake()
	return g.rn.ForgetLeader()
}

// TransferTo hands leadership to another voter.
func (g *Group) TransferTo(p identity.PeerID) {
	if m, ok := g.table.members.Member(p); ok && m.Votes() {
		g.Wake()
		g.rn.TransferLeader(m.RaftID)
	}
}

// Propose offers an entry to the log. Nil means that it may commit, not that it
// will: watch what is applied. The leader's own payload rule holds here.
func (g *Group) Propose(e *wire.Entry) error {
	if p := e.GetPayload(); p != nil && !g.holds(e) {
		return fmt.Errorf("propose: payload %s is not durable here", p.GetName())
	}
	g.Wake()
	e.Version, e.State = versionOf(e), g.table.State()
	switch err := g.rn.Propose(encode(e)); {
	case errors.Is(err, raft.ErrProposalDropped):
		return ErrNotLeader
	default:
		return err
	}
}

// ReadIndex asks the leader to confirm a read. The context comes back in
// [Turn.Reads]; it may get lost, so ask again after a while.
func (g *Group) ReadIndex(context []byte) {
	g.Wake()
	g.rn.ReadIndex(context)
}

// Unreachable reports that messages to p get lost, so that it is probed rather
// than flooded.
func (g *Group) Unreachable(p identity.PeerID) {
	if m, ok := g.table.members.Member(p); ok {
		g.rn.ReportUnreachable(m.RaftID)
	}
}

// SnapshotSent reports whether a snapshot reached p.
func (g *Group) SnapshotSent(p identity.PeerID, ok bool) {
	status := raft.SnapshotFinish
	if !ok {
		status = raft.SnapshotFailure
	}
	if m, found := g.table.members.Member(p); found {
		g.rn.ReportSnapshot(m.RaftID, status)
	}
}
