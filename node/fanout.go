package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// fanout streams an arriving pack to the followers while the leader indexes it,
// so that replication costs no time of its own. A follower that can't keep up
// is left behind once the others make a majority; it fetches later.
type fanout struct {
	u       *push
	cancel  context.CancelFunc
	started int
	live    []*follower // that still take chunks
	results chan staged // one for each follower
	whole   bool        // finish was called
	running atomic.Int32
}

type follower struct {
	peer  identity.PeerID
	queue chan *wire.StageChunk
	gone  chan struct{} // closed when it failed
	// finished is set before queue is closed, if all was sent.
	finished bool
}

// staged is what became of the payload at one follower: nil if it is held there.
type staged struct {
	peer identity.PeerID
	err  error
}

// How long a full queue may hold a push up: if the others suffice, and if they don't.
// All followers together must stay below what the pusher waits for room to write.
const (
	slowFollower   = 2 * time.Second
	neededFollower = wire.SilenceMax / 4
)

func (u *push) startFanout() *fanout {
	// Followers may go on after the push has been answered.
	ctx, cancel := context.WithTimeout(u.n.ctx, pushTimeout)
	members := u.g.members().Members
	f := &fanout{u: u, cancel: cancel, results: make(chan staged, len(members))}
	for _, m := range members {
		if m.Peer == u.n.self || !u.n.cfg.Network.IsConnected(m.Peer) {
			continue
		}
		to := &follower{peer: m.Peer, queue: make(chan *wire.StageChunk, stageQueueChunks), gone: make(chan struct{})}
		f.live = append(f.live, to)
	}
	f.started = len(f.live)
	f.running.Store(int32(f.started))
	for _, to := range slices.Clone(f.live) {
		u.n.spawn(func() { f.run(ctx, to) })
	}
	return f
}

func (f *fanout) run(ctx context.Context, to *follower) {
	err := f.stream(ctx, to)
	if err != nil {
		f.u.g.log.Debug("follower not staged", "peer", to.peer, "error", err)
		close(to.gone)
	}
	f.results <- staged{to.peer, err}
	if f.running.Add(-1) == 0 {
		f.cancel()
	}
}

// stream sends one follower its chunks, and waits until it says that all of it
// is on disk.
func (f *fanout) stream(ctx context.Context, to *follower) error {
	opening, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	s, err := f.u.n.cfg.Network.Open(opening, to.peer, protocolGroup)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	defer s.Close()
	body := moving{Stream: s}
	err = wire.WriteFrame(body, &wire.GroupRequest{Kind: &wire.GroupRequest_StagePayload{StagePayload: &wire.StagePayload{
		Repo: f.u.g.genesis.Repo[:], Genesis: f.u.g.genesis.Hash[:], Signer: f.u.signer[:], Id: f.u.tx.GetId(), TxSha256: f.u.key.sum[:],
	}}})
	if err != nil {
		_ = s.Reset()
		return err
	}
	// Read from the beginning on: a follower that refuses, for want of room perhaps,
	// does so in the middle, and what it says must not be lost to a failing write.
	answer := make(chan error, 1)
	var reading sync.WaitGroup
	reading.Go(func() { answer <- readDone(s) })
	if err = f.pass(ctx, to, body, answer); err != nil {
		_ = s.Reset()
	}
	reading.Wait()
	return err
}

// answerAfter is how long an answer may take once the follower takes no more.
const answerAfter = time.Second

// pass writes what the queue brings, and returns what the follower answers.
func (f *fanout) pass(ctx context.Context, to *follower, body wire.Stream, answer <-chan error) error {
	for {
		select {
		case chunk, more := <-to.queue:
			if !more && to.finished {
				return <-answer
			}
			if !more {
				return errors.New("left behind")
			}
			if err := wire.WriteFrame(body, chunk); err != nil {
				_ = body.SetDeadline(time.Now().Add(answerAfter))
				return errors.Join(<-answer, err)
			}
		case err := <-answer:
			return errors.Join(err, errors.New("answered before the end"))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func readDone(s wire.Stream) error {
	reply := new(wire.GroupReply)
	if err := wire.ReadFrame(s, reply, wire.RequestBytesMax); err != nil {
		return err
	}
	if failed := reply.GetFailure(); failed != nil {
		return &FailureError{failed}
	}
	return nil
}

// Write implements [io.Writer] for the raw pack. It never fails: a lost
// follower is not the pusher's problem.
func (f *fanout) Write(data []byte) (int, error) {
	for rest := data; len(rest) > 0; {
		part := rest[:min(len(rest), wire.ChunkBytes)]
		rest = rest[len(part):]
		f.broadcast(&wire.StageChunk{Kind: &wire.StageChunk_Data{Data: append([]byte(nil), part...)}})
	}
	return len(data), nil
}

func (f *fanout) broadcast(chunk *wire.StageChunk) {
	for _, to := range slices.Clone(f.live) {
		select {
		case to.queue <- chunk:
			continue
		case <-to.gone:
			continue
		default:
		}
		f.wait(to, chunk)
	}
}

// wait gives a slow follower its time, or leaves it behind.
func (f *fanout) wait(to *follower, chunk *wire.StageChunk) {
	patience := neededFollower
	if f.living() > f.u.g.members().Quorum()-1 {
		patience = slowFollower
	}
	select {
	case to.queue <- chunk:
	case <-to.gone:
	case <-time.After(patience):
		f.drop(to)
	}
}

// drop leaves a follower behind.
func (f *fanout) drop(to *follower) {
	f.live = slices.DeleteFunc(f.live, func(other *follower) bool { return other == to })
	close(to.queue)
}

func (f *fanout) living() (n int) {
	for _, to := range f.live {
		select {
		case <-to.gone:
		default:
			n++
		}
	}
	return n
}

// finish sends what indexing made of the pack: the completed pack's new head
// and tail if it was thin, the index, and the hashes.
func (f *fanout) finish(q *git.Quarantine, p *wire.Payload) error {
	if q.Completed {
		if err := f.sendCompletion(q); err != nil {
			return err
		}
	}
	err := f.sendFile(q.IdxPath, 0, func(b []byte) *wire.StageChunk {
		return &wire.StageChunk{Kind: &wire.StageChunk_Idx{Idx: b}}
	})
	if err != nil {
		return err
	}
	f.broadcast(&wire.StageChunk{Kind: &wire.StageChunk_Finish{Finish: p}})
	for _, to := range f.live {
		to.finished = true
		close(to.queue)
	}
	f.live, f.whole = nil, true
	return nil
}

func (f *fanout) sendCompletion(q *git.Quarantine) error {
	header := make([]byte, git.PackHeaderBytes)
	pack, err := os.Open(q.PackPath)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(pack, header)
	if err = errors.Join(err, pack.Close()); err != nil {
		return err
	}
	// Git cuts the old checksum off, appends the missing bases and a new one.
	keep := q.RawSize - int64(f.u.g.genesis.OIDBytes())
	f.broadcast(&wire.StageChunk{Kind: &wire.StageChunk_Cut{Cut: &wire.StageCut{Header: header, Keep: uint64(keep)}}})
	return f.sendFile(q.PackPath, keep, func(b []byte) *wire.StageChunk {
		return &wire.StageChunk{Kind: &wire.StageChunk_Data{Data: b}}
	})
}

func (f *fanout) sendFile(path string, from int64, chunk func([]byte) *wire.StageChunk) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return err
	}
	for {
		buf := make([]byte, wire.ChunkBytes)
		n, err := io.ReadFull(file, buf)
		if n > 0 {
			f.broadcast(chunk(buf[:n]))
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", path, err)
		}
	}
}

// awaitQuorum waits until enough followers hold the payload for the entry to
// commit at once, or none is left to wait for. Those that lack it will fetch it,
// unless they have no room: if so many say so that no majority is left, the push
// is refused with the words of one of them.
func (f *fanout) awaitQuorum(ctx context.Context) error {
	held, full := map[identity.PeerID]bool{f.u.n.self: true}, map[identity.PeerID]bool{}
	for range f.started {
		members := f.u.g.members()
		if members.HasQuorum(func(m replica.Member) bool { return held[m.Peer] }) {
			return nil
		}
		var result staged
		select {
		case result = <-f.results:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		held[result.peer] = result.err == nil
		if refusal := new(FailureError); errors.As(result.err, &refusal) && refusal.F.GetCode() == wire.FailureCode_FAILURE_DISK {
			full[result.peer] = true
			if !members.HasQuorum(func(m replica.Member) bool { return !full[m.Peer] }) {
				return refusal
			}
		}
	}
	return nil
}

// release ends the fanout with its push. Followers that were sent everything
// and are only slow to answer keep their time; the others are reset.
func (f *fanout) release() {
	if !f.whole || f.started == 0 {
		f.cancel()
	}
}
