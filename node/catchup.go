package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

func (g *group) stepped(need *replica.Need, err error) {
	if lost := new(replica.LostLogError); errors.As(err, &lost) || errors.Is(err, replica.ErrDiverged) {
		g.loseSeat(err)
		return
	}
	if err != nil {
		g.log.Debug("message refused", "error", err)
	}
	g.n.touch(g)
	if need == nil || g.needing {
		return
	}
	g.needing = true
	first := g.pace.pause // of a payload's attempts, which are runs of this of their own
	if need.Table != nil {
		first = retryMin
	}
	wait := g.pace.before(need.Index)
	if wait > 0 {
		g.log.Warn("what the log needs was got and is needed again", "entry", need.Index)
	}
	g.n.spawn(func() {
		_ = g.work.during(g.n.ctx, func(ctx context.Context) error { // ended: nobody waits for it
			select {
			case <-time.After(wait):
				g.pursue(ctx, need, first)
			case <-ctx.Done():
			}
			return nil
		})
	})
}

// pursue gets what the log needs, again and again.
func (g *group) pursue(ctx context.Context, need *replica.Need, first time.Duration) {
	err := g.meet(ctx, need)
	for pause := first; err != nil && ctx.Err() == nil; pause = min(2*pause, retryMax) {
		g.log.Warn("cannot get what the log needs; trying again", "entry", need.Index, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
		if need.Table == nil {
			break // raft sends the append again, if its entry still stands
		}
		if newer, _ := ask(ctx, g.n, func() bool { return g.offered.m != nil }); newer {
			break // another leader's: this one may be of a table that is damaged
		}
		// A snapshot is sent once: its sender waits for the acknowledgement.
		err = g.meet(ctx, need)
	}
	g.n.post(func() { g.met(need.Index, err) })
}

// Pauses between attempts to fetch what the log needs. A payload is tried again
// at once, since a leader may just have died, and then less and less often: a
// full disk here must not keep the others busy with sending.
const (
	retryMin = time.Second
	retryMax = 15 * time.Second

	payloadRetryMin = 100 * time.Millisecond
	payloadRetryMax = 5 * time.Second
)

// pace keeps attempts apart that get a replica no further: those that fail, and those
// after which the log needs the same once more. The zero value is ready.
type pace struct {
	pause time.Duration // the next one
	got   uint64        // the entry for which something was got last
}

// before is how long to wait before something is fetched for an entry.
func (p *pace) before(index uint64) time.Duration {
	if index > p.got {
		return 0
	}
	return max(p.pause, payloadRetryMin)
}

// fetched takes in how an attempt for an entry ended.
func (p *pace) fetched(index uint64, err error) {
	if err == nil && index > p.got {
		p.pause = 0
	} else {
		p.pause = min(max(2*p.pause, payloadRetryMin), payloadRetryMax)
	}
	if err == nil {
		p.got = index
	}
}

func (g *group) met(index uint64, err error) {
	g.needing = false
	if g.problem != nil {
		return
	}
	g.pace.fetched(index, err)
	if err != nil {
		g.core.Abandon() // raft sends again
	} else {
		g.stepped(g.guard(g.core.Resume))
	}
	if next := g.offered; next.m != nil && !g.needing {
		g.offered = offered{}
		g.step(next.from, next.m)
	}
}

// meet brings what the log needs onto this disk, durably.
func (g *group) meet(ctx context.Context, need *replica.Need) error {
	ctx, cancel := context.WithTimeout(ctx, pushTimeout)
	defer cancel()
	if need.Table != nil {
		if err := g.tableAgrees(ctx, need.Table, need.From); err != nil {
			return err
		}
		if err := g.fetchTips(ctx, need); err != nil {
			return fmt.Errorf("objects of the table at %d: %w", need.Index, err)
		}
		g.n.cfg.Fail(failSnapshotObjects)
		return nil
	}
	if arriving := g.staging.wait(need.From, need.Signer, need.TransactionID); arriving != nil {
		select {
		case <-arriving:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if g.staging.Held(need.Signer, need.TransactionID, need.Payload) {
			return nil
		}
	}
	return g.fetchPayload(ctx, need)
}

// sources are the members to ask: the one that told us first, if one did, then
// who is connected.
func (g *group) sources(first identity.PeerID) []identity.PeerID {
	var list []identity.PeerID
	if first != "" {
		list = append(list, first)
	}
	for _, m := range g.members().Members {
		if m.Peer != first && m.Peer != g.n.self && g.n.cfg.Network.IsConnected(m.Peer) {
			list = append(list, m.Peer)
		}
	}
	return list
}

// fetchPayload gets one payload: as the files that somebody has, or as the
// objects themselves where nobody has the files any more.
func (g *group) fetchPayload(ctx context.Context, need *replica.Need) error {
	var errs []error
	for _, from := range g.sources(need.From) {
		err := g.copyPayload(ctx, from, need)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("payload from %s: %w", from, err))
	}
	news, err := newOIDs(need.Updates)
	if err != nil {
		return err
	}
	g.readers.pin(need.Index, rawOIDs(news))
	for _, from := range g.sources(need.From) {
		err := g.fetchObjects(ctx, from, news)
		if err == nil {
			g.staging.markPresent(need.Signer, need.TransactionID, need.Payload.GetName())
			return nil
		}
		errs = append(errs, fmt.Errorf("objects from %s: %w", from, err))
	}
	return errors.Join(errs...)
}

// endStream closes a stream that was read to its end. Another one is reset, or
// its sender would wait for room until it loses patience.
func endStream(s wire.Stream, err error) {
	if err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// copyPayload copies a payload's files from another member.
func (g *group) copyPayload(ctx context.Context, from identity.PeerID, need *replica.Need) (err error) {
	p := need.Payload
	s, reply, err := g.n.request(ctx, from, &wire.GroupRequest{Kind: &wire.GroupRequest_GetPayload{GetPayload: &wire.GetPayload{
		Repo: g.genesis.Repo[:], Genesis: g.genesis.Hash[:], Payload: p, Signer: need.Signer, Id: need.TransactionID,
	}}})
	if err != nil {
		return err
	}
	defer func() { endStream(s, err) }()
	if reply.GetPayload().GetPackBytes() != p.GetPackSize() || reply.GetPayload().GetIdxBytes() != p.GetIdxSize() {
		return errors.New("the sizes differ from the entry's")
	}
	a, err := g.staging.begin("", need.Signer, need.TransactionID, nil, g.n.cfg.PackBytesMax)
	if err != nil {
		return err
	}
	defer a.abort()
	body := &guarded{Reader: moving{Stream: s}, n: g.n}
	if err := copyTo(a.writePack, body, int64(p.GetPackSize())); err != nil {
		return err
	}
	if err := copyTo(a.writeIdx, body, int64(p.GetIdxSize())); err != nil {
		return err
	}
	if err := a.finish(p); err != nil {
		return err
	}
	return g.dropLate(need.Signer, need.TransactionID, need.TxSum, p, need.Index)
}

func copyTo(write func([]byte) error, r io.Reader, n int64) error {
	_, err := io.CopyN(writerFunc(write), r, n)
	return err
}

type writerFunc func([]byte) error

func (f writerFunc) Write(p []byte) (int, error) {
	if err := f(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// fetchTips fetches all objects that a table's refs and retired tips reach and
// this disk lacks, by object ID, in one pack. A push may still rely on the
// retired ones, and this replica acknowledges its entry.
func (g *group) fetchTips(ctx context.Context, need *replica.Need) error {
	if need.Table.GetMeta().GetTombstone() != nil {
		return nil // the others may have deleted them already
	}
	tips := make([]git.OID, 0, len(need.Table.GetRefs()))
	for _, r := range need.Table.GetRefs() {
		oid, err := git.FromBytes(r.GetOid())
		if err != nil {
			return err
		}
		tips = append(tips, oid)
	}
	for _, r := range loadRetired(need.Table.GetRetired()) {
		tips = append(tips, r.oid)
	}
	if len(tips) == 0 {
		return nil
	}
	g.readers.pin(need.Index, rawOIDs(tips))
	var errs []error
	for _, from := range g.sources(need.From) {
		err := g.fetchObjects(ctx, from, tips)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("from %s: %w", from, err))
	}
	return errors.Join(errs...)
}

// fetchObjects gets one pack with what the wants reach and the published refs
// don't, checks it as a push is checked, and installs it.
func (g *group) fetchObjects(ctx context.Context, from identity.PeerID, wants []git.OID) error {
	defer g.readers.fetch()()
	if _, err := g.repo.Check(ctx, wants); err == nil {
		return nil // all here already
	}
	var haves []git.OID
	refs, _, _ := g.pub.list()
	for _, r := range refs {
		haves = append(haves, r.OID)
	}
	return g.fetchPack(ctx, from, wants, haves, wants)
}

// fetchPack gets one pack with what the wants reach and the haves don't, and installs
// it if with it all is here that the tips reach.
func (g *group) fetchPack(ctx context.Context, from identity.PeerID, wants, haves, tips []git.OID) (err error) {
	req := &wire.Objects{Repo: g.genesis.Repo[:], Genesis: g.genesis.Hash[:], Wants: rawOIDs(unique(wants)), Haves: rawOIDs(haves)}
	s, _, err := g.n.request(ctx, from, &wire.GroupRequest{Kind: &wire.GroupRequest_Objects{Objects: req}})
	if err != nil {
		return err
	}
	defer func() { endStream(s, err) }()
	q, err := g.repo.Ingest(ctx, &guarded{Reader: moving{s, hookTimeout}, n: g.n}, git.IngestOptions{MaxBytes: g.n.cfg.PackBytesMax, Sync: true})
	if err != nil {
		return err
	}
	defer func() { _ = q.Discard() }() // what stays is swept at the next start
	if _, err := q.Check(ctx, tips); err != nil {
		return err
	}
	if q.Objects == 0 {
		return nil
	}
	return g.repo.InstallFiles(q.Name, q.PackPath, q.IdxPath)
}
