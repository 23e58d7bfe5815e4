package replica

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/wire"
)

const (
	// chainVersion is how the chain is made. Before it was written down, the chain was
	// over whole entries, and nobody could follow it who had not all their bytes.
	chainVersion = 1
	// trailKept is how many applied entries a member remembers the links of.
	trailKept = 256
	// trailPageBytes is how much of the log is read at once when a member starts.
	trailPageBytes = 4 << 20
)

// ErrOldChain says that a table is of a program that made the chain another way.
var ErrOldChain = errors.New("it was written by an older peer, whose log this one can't verify: clone it with the older peer, then init it anew with this one")

func checkChainVersion(meta *wire.TableMeta) error {
	switch v := meta.GetChainVersion(); {
	case v < chainVersion:
		return ErrOldChain
	case v > chainVersion:
		return ErrUpgrade
	}
	return nil
}

// Link is one entry's part of the chain. It stands for the entry, so that who follows
// the chain needs neither pack nor the other fields.
type Link struct {
	Term               uint64
	Kind               pb.EntryType
	Transaction, Entry [sha256.Size]byte // no transaction: zero
}

// LinkOf makes the link of an entry as raft has it.
func LinkOf(term uint64, kind pb.EntryType, data []byte) Link {
	l := Link{Term: term, Kind: kind, Entry: sha256.Sum256(data)}
	if entry := new(wire.Entry); kind == pb.EntryNormal && proto.Unmarshal(data, entry) == nil && entry.GetTransaction() != nil {
		l.Transaction = sha256.Sum256(entry.GetTransaction().GetBody())
	}
	return l
}

// Extend is the chain after the entry at index, where before was the chain.
func (l Link) Extend(index uint64, before [sha256.Size]byte) [sha256.Size]byte {
	b := make([]byte, 0, 4*sha256.Size)
	b = append(b, before[:]...)
	b = binary.BigEndian.AppendUint64(b, index)
	b = binary.BigEndian.AppendUint64(b, l.Term)
	b = append(b, byte(l.Kind))
	b = append(b, l.Transaction[:]...)
	return sha256.Sum256(append(b, l.Entry[:]...))
}

func (l Link) signed() bool { return l.Transaction != [sha256.Size]byte{} }

// trail is the chain of the last entries of the log, those that are not applied
// included: what a member acknowledges is not committed yet.
type trail struct {
	first uint64 // index of links[0]
	root  [sha256.Size]byte
	links []trailLink
}

type trailLink struct {
	Link
	chain [sha256.Size]byte
}

func (t *trail) begin(table *Table) {
	*t = trail{first: table.Index() + 1, root: [sha256.Size]byte(table.Chain())}
}

// last is the index of the last entry; at is nil where an entry is not remembered.
func (t *trail) last() uint64 { return t.first + uint64(len(t.links)) - 1 }

func (t *trail) at(index uint64) *trailLink {
	if index < t.first || index > t.last() {
		return nil
	}
	return &t.links[index-t.first]
}

// before is the chain before an entry that is remembered.
func (t *trail) before(index uint64) [sha256.Size]byte {
	if index == t.first {
		return t.root
	}
	return t.at(index - 1).chain
}

// add takes in an entry, in place of what was from there on.
func (t *trail) add(e *pb.Entry) error {
	i := e.GetIndex()
	if i < t.first || i > t.last()+1 {
		return fmt.Errorf("entry %d does not follow the log, which goes from %d to %d", i, t.first, t.last())
	}
	t.links = t.links[:i-t.first]
	link := LinkOf(e.GetTerm(), e.GetType(), e.GetData())
	before := t.root
	if len(t.links) > 0 {
		before = t.links[len(t.links)-1].chain
	}
	t.links = append(t.links, trailLink{link, link.Extend(i, before)})
	return nil
}

// trim forgets what was applied long ago.
func (t *trail) trim(applied uint64) {
	if applied < t.first+2*trailKept {
		return
	}
	drop := applied + 1 - trailKept - t.first
	t.root = t.links[drop-1].chain
	t.first += drop
	t.links = append([]trailLink(nil), t.links[drop:]...)
}

// loadTrail goes on from the table over what the log holds beyond it.
func (g *Group) loadTrail() error {
	g.trail.begin(g.table)
	last, err := g.log.LastIndex()
	for err == nil && g.trail.last() < last {
		var entries []*pb.Entry
		if entries, err = g.log.Entries(g.trail.last()+1, last+1, trailPageBytes); err != nil || len(entries) == 0 {
			return errors.Join(fmt.Errorf("the log after entry %d is unreadable", g.trail.last()), err)
		}
		for _, e := range entries {
			if err = g.trail.add(e); err != nil {
				return err
			}
		}
	}
	return err
}

// extendTrail takes in what this turn appends to the log.
func (g *Group) extendTrail(entries []*pb.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	// A leader only ever adds to its log. So one that has an entry of its own term
	// replaced wrote two for one index.
	term := g.rn.BasicStatus().GetTerm()
	if from := entries[0].GetIndex(); from >= g.trail.first && from <= g.trail.last() && g.trail.at(g.trail.last()).Term == term {
		return fmt.Errorf("the leader of term %d wrote two entries at index %d", term, from)
	}
	for _, e := range entries {
		if err := g.trail.add(e); err != nil {
			return err
		}
	}
	return nil
}

// checkTrail says whether what was applied is what was acknowledged.
func (g *Group) checkTrail() error {
	if at := g.trail.at(g.table.Index()); at != nil && at.chain == [sha256.Size]byte(g.table.Chain()) {
		return nil
	}
	return fmt.Errorf("entry %d is not the one that was acknowledged here", g.table.Index())
}
