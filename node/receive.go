package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"peer/git"
	"peer/wire"
)

// receive takes the pack of a push, indexes and checks it, and makes it a
// payload that is durable here. Nil: the push brings no objects.
func (u *push) receive(ctx context.Context, hasPack bool) (*wire.Payload, error) {
	if !hasPack {
		return nil, u.checkExisting(ctx)
	}
	if err := u.intake.begin(); err != nil {
		return nil, err
	}
	chunks := &chunkReader{stream: moving{Stream: u.stream}}
	// Git may count objects for long before it sends the first byte.
	if err := chunks.first(u.stream); err != nil {
		return nil, err
	}
	head, err := io.ReadAll(io.LimitReader(chunks, int64(u.n.cfg.InlineBytesMax)))
	if err != nil {
		return nil, err
	}
	if chunks.ended {
		return u.receiveSmall(ctx, head)
	}
	return u.receiveLarge(ctx, io.MultiReader(bytes.NewReader(head), chunks))
}

func (u *push) checkExisting(ctx context.Context) error {
	if len(u.news) == 0 {
		return nil
	}
	if err := u.checkPack(ctx, u.g.repo.CheckPush); err != nil {
		return err
	}
	return u.find(ctx, u.g.repo.IsAncestor)
}

// receiveSmall makes a payload that rides in the entry: the entry's own sync
// makes it durable, so git need not.
func (u *push) receiveSmall(ctx context.Context, pack []byte) (*wire.Payload, error) {
	leave, err := u.n.admitPush(ctx, u.n.smallPushes)
	if err != nil {
		return nil, err
	}
	defer leave()
	q, err := u.ingest(ctx, bytes.NewReader(pack), false)
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Discard() }() // what stays is swept at the next start
	if q.Objects == 0 {
		return nil, nil
	}
	p := &wire.Payload{Name: q.Name, PackSize: uint64(q.PackSize), IdxSize: uint64(q.IdxSize)}
	packData, packSum, err := readSum(q.PackPath)
	if err != nil {
		return nil, err
	}
	idxData, idxSum, err := readSum(q.IdxPath)
	if err != nil {
		return nil, err
	}
	p.PackSha256, p.IdxSha256 = packSum, idxSum
	if len(packData)+len(idxData) > 2*u.n.cfg.InlineBytesMax {
		// Completing a thin pack can make it far larger than what was sent.
		if err := syncFiles(q.PackPath, q.IdxPath); err != nil {
			return nil, err
		}
		return p, u.g.staging.adopt(u.signer[:], u.tx.GetId(), u.key.sum[:], p, q.PackPath, q.IdxPath)
	}
	p.InlinePack, p.InlineIdx = packData, idxData
	return p, nil
}

// receiveLarge streams the pack to the followers while git indexes it here.
func (u *push) receiveLarge(ctx context.Context, pack io.Reader) (*wire.Payload, error) {
	u.telling.waitsFor("waiting until other packs have been indexed")
	leave, err := u.n.admitPush(ctx, u.n.largePushes)
	if err != nil {
		return nil, err
	}
	defer leave()
	u.telling.waitsFor("") // git says what it sends
	pack = &ending{pack, func() { u.telling.waitsFor("indexing and checking the pack") }}
	f := u.startFanout()
	defer f.release()
	sum := sha256.New()
	q, err := u.ingest(ctx, io.TeeReader(&guarded{Reader: pack, n: u.n, in: u.intake}, io.MultiWriter(sum, f)), true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = q.Discard() }() // what stays is swept at the next start
	if q.Objects == 0 {
		return nil, nil
	}
	p, err := describe(q, sum)
	if err != nil {
		return nil, err
	}
	u.telling.waitsFor("waiting until a majority of the replicas holds the pack")
	if err := f.finish(q, p); err != nil {
		return nil, err
	}
	if err := u.g.staging.adopt(u.signer[:], u.tx.GetId(), u.key.sum[:], p, q.PackPath, q.IdxPath); err != nil {
		return nil, err
	}
	u.intake.end() // it is staged
	if err := f.awaitQuorum(ctx); err != nil {
		return nil, err
	}
	u.n.cfg.Fail(failReplicated)
	return p, nil
}

// ingest indexes a pack into quarantine and checks that nothing is missing.
func (u *push) ingest(ctx context.Context, pack io.Reader, sync bool) (*git.Quarantine, error) {
	q, err := u.g.repo.Ingest(ctx, pack, git.IngestOptions{MaxBytes: u.n.cfg.PackBytesMax, Sync: sync, Shallow: u.shallow})
	if err != nil {
		return nil, err
	}
	u.n.cfg.Fail(failIndexed)
	if err := u.intake.upTo(q.PackSize + q.IdxSize); err != nil {
		return nil, errors.Join(err, q.Discard())
	}
	if err := u.checkQuarantine(ctx, q); err != nil {
		return nil, errors.Join(err, q.Discard())
	}
	return q, nil
}

func (u *push) checkQuarantine(ctx context.Context, q *git.Quarantine) error {
	if err := u.checkPack(ctx, q.CheckPush); err != nil {
		return err
	}
	return u.find(ctx, q.IsAncestor)
}

// describe names a payload by size and hash. Git changes the bytes only when it
// completes a thin pack; otherwise the hash of what arrived will do.
func describe(q *git.Quarantine, arrived hash.Hash) (*wire.Payload, error) {
	p := &wire.Payload{
		Name: q.Name, PackSize: uint64(q.PackSize), IdxSize: uint64(q.IdxSize),
		PackSha256: arrived.Sum(nil),
	}
	if q.Completed {
		sum, err := sumPath(q.PackPath)
		if err != nil {
			return nil, err
		}
		p.PackSha256 = sum
	}
	sum, err := sumPath(q.IdxPath)
	p.IdxSha256 = sum
	return p, err
}

func sumPath(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return sumFile(f)
}

// ending calls a function when all has been read.
type ending struct {
	io.Reader
	ended func()
}

func (r *ending) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		r.ended()
	}
	return n, err
}

// chunkReader reads the chunks of a pack; an empty one ends it.
type chunkReader struct {
	stream wire.Stream
	rest   []byte
	ended  bool
}

// first waits for the first chunk as long as packing may take.
func (r *chunkReader) first(stream wire.Stream) error {
	if err := stream.SetDeadline(time.Now().Add(hookTimeout)); err != nil {
		return err
	}
	return r.next(stream)
}

func (r *chunkReader) next(stream wire.Stream) error {
	chunk, err := wire.ReadChunk(stream, wire.ChunkBytesMax)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("the pusher's stream broke: %w", err)
	}
	r.rest, r.ended = chunk, len(chunk) == 0
	return nil
}

func (r *chunkReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.ended {
			return 0, io.EOF
		}
		if err := r.next(r.stream); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}
