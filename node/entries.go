package node

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// decode reads an entry and the transaction in it. Raft's own entries are empty.
func decode(e *pb.Entry) (*wire.Entry, *wire.Transaction, error) {
	entry, tx := new(wire.Entry), new(wire.Transaction)
	if e.GetType() != pb.EntryNormal {
		return entry, tx, nil
	}
	if err := proto.Unmarshal(e.GetData(), entry); err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	if err := proto.Unmarshal(entry.GetTransaction().GetBody(), tx); err != nil {
		return nil, nil, fmt.Errorf("entry %d: %w", e.GetIndex(), err)
	}
	return entry, tx, nil
}

// eachEntry reads the log.
func (g *group) eachEntry(each func(*wire.Entry, *wire.Transaction) error) error {
	return g.eachLogged(0, func(e *pb.Entry) error {
		entry, tx, err := decode(e)
		if err != nil {
			return err
		}
		return each(entry, tx)
	})
}

// eachLogged reads the log from an index on, or from where it begins.
func (g *group) eachLogged(from uint64, each func(*pb.Entry) error) error {
	first, err := g.raftLog.FirstIndex()
	if err != nil {
		return err
	}
	last, err := g.raftLog.LastIndex()
	if err != nil {
		return err
	}
	for from = max(first, from); from <= last; {
		entries, err := g.raftLog.Entries(from, last+1, logPageBytes)
		if err != nil {
			return fmt.Errorf("log from entry %d: %w", from, err)
		}
		for _, e := range entries {
			if err := each(e); err != nil {
				return err
			}
		}
		from += uint64(len(entries))
	}
	return nil
}
