package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

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
func (g *group) replay(ctx context.Context, table *replica.Table) error {
	g.pub = newPublisher(g, table)
	if table.Tombstone() != nil {
		g.pub.advance(table.Index()) // its objects may be gone already
		return nil
	}
	err := g.eachLogged(g.publishedSaved+1, func(e *pb.Entry) error {
		if err := g.replayEntry(ctx, e, table); err != nil {
			return fmt.Errorf("replay entry %d: %w", e.GetIndex(), err)
		}
		return nil
	})
	if err != nil {
		return err
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
	if o == nil || o.GetIndex() != e.GetIndex() || o.GetResult().GetCode() != wire.Code_CODE_OK || !didSome(o) {
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
	return g.staging.drop(tx.GetSigner(), tx.GetId(), o.GetTxSha256(), entry.GetPayload())
}
