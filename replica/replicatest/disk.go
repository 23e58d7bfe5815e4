package replicatest

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/replica"
	"peer/wire"
)

// disk is what survives a crash of one member: its log and table, and beside
// them the payloads that are staged and the objects that are published.
type disk struct {
	hard *pb.HardState
	conf *pb.ConfState
	// index and term are of the entry before the first one.
	index, term uint64
	entries     []*pb.Entry
	table       map[string][]byte

	// staged is by stageKey. A transaction may have several: leaders complete thin
	// packs differently, and an entry that names the one must not lose it to another.
	staged map[string][]staged
	// objects are in the repository.
	objects map[string]bool
	// published is up to where a restart need not publish again.
	published uint64

	snapshot func() (*pb.Snapshot, error)
}

// staged is a payload that is whole and durable.
type staged struct {
	name string
	oids []string
}

func newDisk() *disk {
	return &disk{
		table: map[string][]byte{}, staged: map[string][]staged{},
		objects: map[string]bool{},
	}
}

// stageKey is whose payload it is: the signer's and the transaction's, not the leader's.
func stageKey(signer, id []byte) string { return string(signer) + string(id) }

// Held implements [replica.Payloads].
func (d *disk) Held(signer, id []byte, p *wire.Payload) bool {
	return d.stagedAs(stageKey(signer, id), p.GetName()) != nil
}

func (d *disk) stagedAs(key, name string) *staged {
	for i, s := range d.staged[key] {
		if s.name == name {
			return &d.staged[key][i]
		}
	}
	return nil
}

func (d *disk) stage(key string, s staged) {
	if d.stagedAs(key, s.name) == nil {
		d.staged[key] = append(d.staged[key], s)
	}
}

// drop forgets a payload that was published. Another of the same transaction ID stays:
// an entry may name it.
func (d *disk) drop(key, name string) {
	d.staged[key] = slices.DeleteFunc(d.staged[key], func(s staged) bool { return s.name == name })
	if len(d.staged[key]) == 0 {
		delete(d.staged, key)
	}
}

// has says whether an object would be there after a crash.
func (d *disk) has(oid string) bool {
	if d.objects[oid] {
		return true
	}
	for _, e := range d.entries {
		o := open(e)
		if o != nil && e.GetIndex() > d.published && len(o.entry.GetPayload().GetInlinePack()) > 0 && slices.Contains(o.oids, oid) {
			return true
		}
	}
	for _, list := range d.staged {
		for _, s := range list {
			if slices.Contains(s.oids, oid) {
				return true
			}
		}
	}
	return false
}

func (d *disk) last() uint64 { return d.index + uint64(len(d.entries)) }

// save does what a store does, and says what a store would not accept.
func (d *disk) save(s *replica.Save) error {
	if at := s.Install; at != nil {
		if at.GetIndex() <= d.hard.GetCommit() {
			return fmt.Errorf("install at %d behind commit index %d", at.GetIndex(), d.hard.GetCommit())
		}
		d.index, d.term, d.conf = at.GetIndex(), at.GetTerm(), proto.Clone(at.GetConfState()).(*pb.ConfState)
		d.entries, d.table = nil, map[string][]byte{}
	}
	if err := d.append(s.Entries); err != nil {
		return err
	}
	for _, c := range s.Table {
		if c.Value == nil {
			delete(d.table, c.Key)
		} else {
			d.table[c.Key] = c.Value
		}
	}
	if s.Conf != nil {
		d.conf = proto.Clone(s.Conf).(*pb.ConfState)
	}
	if hs := s.HardState; hs != nil {
		if hs.GetTerm() < d.hard.GetTerm() || hs.GetCommit() < d.hard.GetCommit() || hs.GetCommit() > d.last() {
			return fmt.Errorf("hard state goes from %v to %v with the log ending at %d", d.hard, hs, d.last())
		}
		d.hard = proto.Clone(hs).(*pb.HardState)
	}
	if to := s.CompactTo; to > d.index {
		if to > d.hard.GetCommit() {
			return fmt.Errorf("compact to %d beyond commit index %d", to, d.hard.GetCommit())
		}
		n := to - d.index
		d.term, d.index, d.entries = d.entries[n-1].GetTerm(), to, slices.Clone(d.entries[n:])
	}
	return nil
}

func (d *disk) append(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	first := entries[0].GetIndex()
	if first > d.last()+1 || first <= d.index || first <= d.hard.GetCommit() {
		return fmt.Errorf("entries from %d on, with the log from %d to %d and commit index %d", first, d.index+1, d.last(), d.hard.GetCommit())
	}
	for i, e := range entries {
		if e.GetIndex() != first+uint64(i) {
			return fmt.Errorf("entry %d stands where %d should", e.GetIndex(), first+uint64(i))
		}
	}
	d.entries = append(slices.Clone(d.entries[:first-d.index-1]), entries...)
	return nil
}

func (d *disk) scan(f func(string, []byte) error) error {
	for key, value := range d.table {
		if err := f(key, value); err != nil {
			return err
		}
	}
	return nil
}

var _ replica.Log = (*disk)(nil)

// SetSnapshotFunc implements [replica.Log].
func (d *disk) SetSnapshotFunc(f func() (*pb.Snapshot, error)) { d.snapshot = f }

// InitialState implements raft.Storage.
func (d *disk) InitialState() (*pb.HardState, *pb.ConfState, error) {
	return proto.Clone(d.hard).(*pb.HardState), proto.Clone(d.conf).(*pb.ConfState), nil
}

// FirstIndex implements raft.Storage.
func (d *disk) FirstIndex() (uint64, error) { return d.index + 1, nil }

// LastIndex implements raft.Storage.
func (d *disk) LastIndex() (uint64, error) { return d.last(), nil }

// Term implements raft.Storage.
func (d *disk) Term(index uint64) (uint64, error) {
	switch {
	case index < d.index:
		return 0, raft.ErrCompacted
	case index > d.last():
		return 0, raft.ErrUnavailable
	case index == d.index:
		return d.term, nil
	}
	return d.entries[index-d.index-1].GetTerm(), nil
}

// Entries implements raft.Storage.
func (d *disk) Entries(lo, hi, maxBytes uint64) ([]*pb.Entry, error) {
	if lo <= d.index {
		return nil, raft.ErrCompacted
	}
	if hi > d.last()+1 {
		return nil, raft.ErrUnavailable
	}
	var list []*pb.Entry
	size := uint64(0)
	for _, e := range d.entries[lo-d.index-1 : hi-d.index-1] {
		if size += uint64(proto.Size(e)); size > maxBytes && len(list) > 0 {
			break
		}
		list = append(list, e)
	}
	return list, nil
}

// Snapshot implements raft.Storage.
func (d *disk) Snapshot() (*pb.Snapshot, error) { return d.snapshot() }
