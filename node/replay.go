package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

func (g *group) loadPublished() error {
	raw, ok, err := g.n.cfg.Store.Get(publishedKey(g.genesis.Repo))
	if err != nil {
		return err
	}
	if ok && len(raw) == 8 {
		g.publishedSaved = binary.BigEndian.Uint64(raw)
	}
	return nil
}

// replay publishes what was applied and perhaps not published before a crash,
// forces git's refs to the table, and only then sweeps the staging area.
func (g *group) replay(ctx context.Context, log replica.Log, table *replica.Table) error {
	g.pub = newPublisher(g, table)
	if table.Tombstone() != nil {
		g.pub.advance(table.Index()) // its objects may be gone already
		return nil
	}
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil {
		return err
	}
	from := max(first, g.publishedSaved+1)
	for from <= last {
		entries, err := log.Entries(from, last+1, 8<<20)
		if err != nil {
			return fmt.Errorf("replay from entry %d: %w", from, err)
		}
		for _, e := range entries {
			if err := g.replayEntry(ctx, e, table); err != nil {
				return fmt.Errorf("replay entry %d: %w", e.GetIndex(), err)
			}
		}
		from += uint64(len(entries))
	}
	if err := g.pub.force(table.Index()); err != nil {
		return err
	}
	if err := g.pub.countPacks(); err != nil {
		return err
	}
	named, err := g.named()
	if err != nil {
		return err
	}
	return g.staging.sweep(named)
}

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

// replayEntry installs an applied entry's payload again.
func (g *group) replayEntry(ctx context.Context, e *pb.Entry, table *replica.Table) error {
	entry, tx, err := decode(e)
	if err != nil || entry.GetPayload() == nil || e.GetIndex() > table.Index() {
		return err
	}
	signer, err := identity.ParsePublicKey(tx.GetSigner())
	if err != nil {
		return err
	}
	// A refused transaction's objects are never published.
	o := table.Outcome(signer, tx.GetId())
	if o == nil || o.GetIndex() != e.GetIndex() || o.GetResult().GetCode() != wire.Code_CODE_OK || !anyOK(o) {
		return nil
	}
	var news []git.OID
	for i, op := range tx.GetOperations() {
		if u := op.GetRefUpdate(); u != nil && len(u.GetNew()) > 0 && o.GetResults()[i].GetCode() == wire.Code_CODE_OK {
			oid, err := git.FromBytes(u.GetNew())
			if err != nil {
				return err
			}
			news = append(news, oid)
		}
	}
	err = g.pub.install(ctx, tx.GetSigner(), tx.GetId(), entry.GetPayload(), news)
	if errors.Is(err, errObjectsMissing) {
		// Refs that a power loss tore look the same to git, and are forced anyway.
		if err := g.repo.WriteRefs(git.Listing{Head: table.Head()}); err != nil {
			return err
		}
		err = g.pub.install(ctx, tx.GetSigner(), tx.GetId(), entry.GetPayload(), news)
	}
	if errors.Is(err, errObjectsMissing) {
		g.problem = err
		return nil
	}
	if err != nil {
		return err
	}
	return g.staging.drop(tx.GetSigner(), tx.GetId())
}

func anyOK(o *wire.Outcome) bool {
	for _, r := range o.GetResults() {
		if r.GetCode() == wire.Code_CODE_OK {
			return true
		}
	}
	return false
}
