package replica

import (
	"errors"
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

// Turn is what the group asks of its driver. In this order: send Early, make
// Save durable, send Messages, act on the rest, call [Group.Done].
type Turn struct {
	Save Save
	// More follows Save, in order, where the entries that were applied change more
	// of the table than fits one write: each holds whole entries.
	More []Save
	// Early may leave before Save is durable: a leader's appends, which promise
	// nothing about its own disk (Ongaro's thesis, §10.2.1).
	Early []*pb.Message
	// Messages must not leave before Save is durable: they acknowledge or vote.
	Messages []*pb.Message
	// Applied lists entries in order. Their effects are in Save.
	Applied []Applied
	// Installed is a table that replaced everything before Applied.
	Installed *wire.TableSnapshot
	Reads     []Read
	// Membership is who has which seat from this turn on; nil when that is as before.
	Membership *Membership
	// Leader is who leads as far as known, empty while nobody does.
	Leader        identity.PeerID
	LeaderChanged bool
	// Differs is the first entry of the turn whose leader had another table.
	Differs *Difference

	ready raft.Ready
}

// What one write changes of the table. An entry's changes stay together, so a write ends
// after the entry that brings it beyond the first two, and has room for all that one more
// entry may change; a store that takes less refuses what is committed, for ever.
const (
	writeChangesMax = 4096
	writeBytesMax   = 256 << 10

	// entryChangesMax is how many keys one entry changes. For each of its operations a
	// transaction changes a ref, a retired tip, and what was kept of the entry that had
	// set the ref; then what goes to make room for itself, all changes of the policy, and
	// some single keys, such as the outcome. A [wire.Collect] changes fewer: tips alone.
	entryChangesMax = 3*OperationsMax + keptDropMax + changesMax + 16
	// entryBytesMax is how large these are. An operation that is refused takes more than
	// one that is not, names left out, which are in a ref's key and in its value; then
	// the transaction itself, a change of the policy, and the policy, lineage and meta.
	entryBytesMax = OperationsMax*(detailBytesMax+16) + 2*NameBytesMax + keptOneMax + keptDropMax*16 + changeOneBytesMax + 512<<10

	// SaveChangesMax is how many changes of the table a [Save] without Install has at most.
	SaveChangesMax = writeChangesMax + entryChangesMax
	// SaveBytesMax is how large they are, keys and values together.
	SaveBytesMax = writeBytesMax + entryBytesMax
)

// Read is a ReadIndex that the leader confirmed: whoever has applied Index sees
// everything acknowledged before the read began.
type Read struct {
	Context []byte
	Index   uint64
}

// Turn collects what is to be done, if anything is. An error means that this
// member must stop taking part; nothing of the turn may be carried out then.
func (g *Group) Turn() (*Turn, error) {
	if !g.rn.HasReady() && !g.change.due {
		return nil, nil
	}
	before := g.rn.BasicStatus()
	rd := g.rn.Ready()
	t := &Turn{Save: Save{Repo: g.genesis.Repo, Entries: rd.Entries}, ready: rd}
	if !raft.IsEmptyHardState(rd.HardState) {
		t.Save.HardState = rd.HardState
	}
	if before.RaftState == raft.StateLeader {
		t.Early = rd.Messages
	} else {
		t.Messages = rd.Messages
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		if err := g.install(rd.Snapshot, t); err != nil {
			return nil, err
		}
	}
	if err := g.extendTrail(rd.Entries); err != nil {
		return nil, err
	}
	// The configuration is saved with the table that names it.
	var conf *pb.ConfState
	more := func() {
		t.More = append(t.More, Save{Repo: g.genesis.Repo, Table: g.table.drain(), Conf: conf})
		conf = nil
	}
	for _, e := range rd.CommittedEntries {
		changed, err := g.apply(e, t)
		if err == nil {
			err = g.checkTrail()
		}
		if err != nil {
			return nil, err
		}
		if changed != nil {
			conf = changed
		}
		if len(g.table.dirty) > g.writeChanges || g.table.dirtyBytes > writeBytesMax {
			more()
		}
	}
	if len(t.More) > 0 {
		more()
	} else {
		t.Save.Table, t.Save.Conf = append(t.Save.Table, g.table.drain()...), conf
	}
	for _, s := range rd.ReadStates {
		t.Reads = append(t.Reads, Read{Context: s.RequestCtx, Index: s.Index})
	}
	g.leaveTheLead()
	g.vouch(t)
	g.attest(t)
	g.trail.trim(g.table.Index())
	if t.Membership != nil {
		t.Early, t.Messages = g.forMembers(t.Early), g.forMembers(t.Messages)
	}
	g.tell(t.Messages)
	t.LeaderChanged = before.Lead != g.leader
	g.leader = before.Lead
	t.Leader = g.seat(g.leader).Peer
	g.stir(t, before.RaftState == raft.StateLeader)
	return t, nil
}

// Done says that the turn has been carried out.
func (g *Group) Done(t *Turn) { g.rn.Advance(t.ready) }

// Empty says that there is nothing to make durable.
func (s *Save) Empty() bool {
	return s.HardState == nil && len(s.Entries) == 0 && s.Install == nil && len(s.Table) == 0 && s.Conf == nil && s.CompactTo == 0
}

func (g *Group) install(snapshot *pb.Snapshot, t *Turn) error {
	s := new(wire.TableSnapshot)
	if err := proto.Unmarshal(snapshot.GetData(), s); err != nil {
		return fmt.Errorf("install snapshot: %w", err)
	}
	table, err := fromSnapshot(s, g.genesis, g.rules)
	if err != nil {
		return fmt.Errorf("install snapshot: %w", err)
	}
	g.table, g.states = table, states{}
	g.states.add(table)
	g.trail.begin(table)
	t.Installed, t.Membership = s, table.members
	t.Save.Install = snapshot.GetMetadata()
	t.Save.Table = table.drain()
	return nil
}

// apply applies one entry. A configuration comes back where the entry changed it.
func (g *Group) apply(e *pb.Entry, t *Turn) (*pb.ConfState, error) {
	switch e.GetType() {
	case pb.EntryNormal:
		before := g.table.members
		applied, err := g.table.Apply(e.GetIndex(), e.GetTerm(), e.GetData())
		if err != nil {
			return nil, err
		}
		if g.table.members != before { // proved in fewer steps
			t.Membership = g.table.members
		}
		if t.Differs == nil {
			t.Differs = g.compare(e.GetIndex(), applied.State)
		}
		g.states.add(g.table)
		t.Applied = append(t.Applied, applied)
		return nil, nil
	case pb.EntryConfChangeV2:
		return g.applyChange(e, t)
	}
	return nil, fmt.Errorf("entry %d changes the membership in an unknown way: %w", e.GetIndex(), ErrUpgrade)
}

// Snapshot is this member's table as raft sends it to one that fell too far
// behind. It answers for the log's storage.
func (g *Group) Snapshot() (*pb.Snapshot, error) {
	data, err := proto.Marshal(g.table.Snapshot())
	if err != nil {
		return nil, err
	}
	if len(data) > wire.SnapshotBytesMax {
		return nil, errors.New("table is too large for a snapshot")
	}
	return &pb.Snapshot{Data: data, Metadata: &pb.SnapshotMetadata{
		Index: new(g.table.Index()), Term: new(g.table.Term()), ConfState: g.table.members.confState(),
	}}, nil
}

// Compact asks, through the save of the next turn, to forget entries that are
// both applied and published, leaving keep of them for members that lag, and none
// below the floor: objects of such an entry may be gone, so who needs it gets the table.
func (g *Group) Compact(t *Turn, published, keep uint64) {
	limit := min(published, g.table.Index())
	to := min(limit, g.table.Floor())
	floorMoved := to > g.compacted
	if limit >= firstIndex+keep {
		to = max(to, limit-keep)
	}
	if !floorMoved && to < g.compacted+max(keep/4, 1) {
		return
	}
	g.compacted = to
	// NB: with the last of the table's changes. Of a turn that a crash cuts the first
	// pieces are left, and raft does not start where the log lacks what the table does.
	if n := len(t.More); n > 0 {
		t.More[n-1].CompactTo = to
	} else {
		t.Save.CompactTo = to
	}
}
