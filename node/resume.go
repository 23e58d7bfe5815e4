package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"peer/git"
	"peer/wire"
)

// resume gives the payload of a push that was interrupted, by a change of leader
// perhaps, so that nobody sends it again; nil if the client must. What this node
// checked itself it knows; of what another brought it knows the hash alone, and which
// transaction it is said to be for. So that is checked like any pack that arrives.
func (u *push) resume(ctx context.Context) (*wire.Payload, error) {
	staged, from := u.g.staging.find(u.signer[:], u.tx.GetId(), u.key.sum[:])
	if staged == nil {
		return nil, nil
	}
	if from == "" {
		return staged, u.findStaged(ctx, staged)
	}
	u.telling = u.startTelling()
	defer u.telling.stop()
	u.telling.waitsFor("indexing and checking the pack, which another replica brought")
	leave, err := u.n.admitPush(ctx, u.n.largePushes)
	if err != nil {
		return nil, err
	}
	defer leave()
	p, err := u.recheck(ctx, staged)
	if err == nil {
		return p, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	u.g.log.Warn("what a replica staged will not do; the pusher sends it again", "from", from, "error", err)
	u.g.staging.doubt(u.signer[:], u.tx.GetId(), staged)
	u.intake.end()
	u.found = nil
	return nil, nil
}

// recheck indexes and checks a staged pack, and makes a payload of it that is durable
// here. That is the same one, unless its index was wrong.
func (u *push) recheck(ctx context.Context, staged *wire.Payload) (*wire.Payload, error) {
	path, _, ok := u.g.staging.files(u.signer[:], u.tx.GetId(), staged)
	if !ok {
		return nil, errors.New("it has gone")
	}
	pack, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer pack.Close()
	if err := u.n.roomForPack(); err != nil {
		return nil, err
	}
	sum := sha256.New()
	q, err := u.g.repo.Ingest(ctx, io.TeeReader(&guarded{Reader: pack, n: u.n}, sum),
		git.IngestOptions{MaxBytes: u.n.cfg.PackBytesMax, Sync: true, Shallow: u.shallow})
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Discard() }() // what stays is swept at the next start
	if q.Objects == 0 {
		return nil, errors.New("it is empty")
	}
	// What is staged counts already.
	if err := u.intake.upTo(q.PackSize + q.IdxSize - int64(staged.GetPackSize()+staged.GetIdxSize())); err != nil {
		return nil, err
	}
	if err := u.checkQuarantine(ctx, q); err != nil {
		return nil, err
	}
	p, err := describe(q, sum)
	if err != nil {
		return nil, err
	}
	return p, u.g.staging.adopt(u.signer[:], u.tx.GetId(), u.key.sum[:], p, q.PackPath, q.IdxPath)
}

// findStaged asks git about the moves of a push whose payload this node checked when
// it came before.
func (u *push) findStaged(ctx context.Context, p *wire.Payload) error {
	if len(u.asked) == 0 {
		return nil
	}
	pack, idx, staged := u.g.staging.files(u.signer[:], u.tx.GetId(), p)
	if !staged {
		return u.find(ctx, u.g.repo.IsAncestor)
	}
	q, err := u.g.repo.Borrow(p.GetName(), pack, idx)
	if err != nil {
		return err
	}
	defer func() { _ = q.Discard() }() // what stays is swept at the next start
	return u.find(ctx, q.IsAncestor)
}
