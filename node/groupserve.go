package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"peer/identity"
	"peer/wire"
)

// serveGroup answers one request of another node.
func (n *Node) serveGroup(from identity.PeerID, s wire.Stream) {
	stop := context.AfterFunc(n.ctx, func() { _ = s.Reset() })
	defer stop()
	req := new(wire.GroupRequest)
	err := s.SetDeadline(time.Now().Add(helloTimeout))
	if err == nil {
		err = wire.ReadFrame(s, req, wire.RequestBytesMax)
	}
	if err == nil {
		err = s.SetDeadline(time.Now().Add(requestTimeout))
	}
	if err != nil {
		_ = s.Reset()
		return
	}
	a := &answering{Stream: s}
	if err := n.answerGroup(from, a, req); err != nil {
		n.log.Debug("group request failed", "from", from, "error", err)
		a.refuse(err)
		return
	}
	_ = s.Close()
}

// answering is a stream that remembers whether a reply was begun.
type answering struct {
	wire.Stream
	begun bool
}

func (a *answering) Write(p []byte) (int, error) {
	a.begun = true
	return a.Stream.Write(p)
}

// refuse ends a request that failed. A reply that was begun is cut off by a
// reset, which says that it is not whole. A refusal is not, or the reset would
// overtake it; what the other side still sends is read and dropped for a while.
func (a *answering) refuse(err error) {
	if a.begun || a.SetDeadline(time.Now().Add(helloTimeout)) != nil {
		_ = a.Reset()
		return
	}
	failed := &wire.GroupReply{Kind: &wire.GroupReply_Failure{Failure: failureOf(err)}}
	if reply(a, failed) != nil {
		_ = a.Reset()
		return
	}
	endRefused(a)
}

// answerGroup writes the reply itself; an error means that none was written, or
// that what followed it is not whole.
func (n *Node) answerGroup(from identity.PeerID, s wire.Stream, req *wire.GroupRequest) error {
	switch kind := req.GetKind().(type) {
	case *wire.GroupRequest_Probe:
		return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Probe{Probe: n.probed()}})
	case *wire.GroupRequest_Prepare:
		return n.servePrepare(from, s, kind.Prepare)
	case *wire.GroupRequest_Create:
		return n.serveCreate(from, s, kind.Create)
	case *wire.GroupRequest_Where:
		return n.serveWhere(from, s, kind.Where)
	case *wire.GroupRequest_Objects:
		return n.serveObjects(from, s, kind.Objects)
	case *wire.GroupRequest_GetPayload:
		return n.servePayload(from, s, kind.GetPayload)
	case *wire.GroupRequest_StagePayload:
		return n.serveStage(from, s, kind.StagePayload)
	case *wire.GroupRequest_Attest:
		return n.serveAttest(from, s, kind.Attest)
	}
	return errBadRequest("unknown request: this node may be older than yours")
}

func reply(s wire.Stream, r *wire.GroupReply) error { return wire.WriteFrame(s, r) }

func done(s wire.Stream) error {
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Done{Done: &wire.Done{}}})
}

// memberGroup finds the group that a fellow member speaks of.
func (n *Node) memberGroup(from identity.PeerID, repo, genesis []byte) (*group, error) {
	id, err := identity.RepoIDFromBytes(repo)
	if err != nil {
		return nil, errBadRequest("%v", err)
	}
	g := n.group(id)
	if g == nil {
		return nil, n.errMissing(id, from)
	}
	_, ok := g.members().Member(from)
	if !ok && g.genesis.Private {
		return nil, errNotFound(id)
	}
	if !ok || string(genesis) != string(g.genesis.Hash[:]) {
		return nil, failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "only members of the group may ask for this", "")
	}
	return g, nil
}

func (n *Node) serveObjects(from identity.PeerID, s wire.Stream, req *wire.Objects) error {
	g, err := n.memberGroup(from, req.GetRepo(), req.GetGenesis())
	if err != nil {
		return err
	}
	wants, err := oids(req.GetWants())
	if err != nil {
		return errBadRequest("%v", err)
	}
	haves, err := oids(req.GetHaves())
	if err != nil {
		return errBadRequest("%v", err)
	}
	defer g.readers.enter()()
	objects, err := g.repo.Objects(n.ctx, wants)
	if err != nil {
		return err
	}
	for _, want := range wants {
		if _, ok := objects[want]; !ok {
			return failure(wire.FailureCode_FAILURE_NOT_FOUND, fmt.Sprintf("object %s is not here", want), "")
		}
	}
	ctx, cancel := context.WithTimeout(n.ctx, pushTimeout)
	defer cancel()
	leave, err := admit(ctx, n.servedPacks)
	if err != nil {
		return err
	}
	defer leave()
	// Said before git counts objects, which may take long.
	if err := done(s); err != nil {
		return err
	}
	return g.repo.PackObjects(ctx, wants, haves, moving{Stream: s})
}

// servePayload sends a payload's files, staged or already published.
func (n *Node) servePayload(from identity.PeerID, s wire.Stream, req *wire.GetPayload) error {
	g, err := n.memberGroup(from, req.GetRepo(), req.GetGenesis())
	if err != nil {
		return err
	}
	p := req.GetPayload()
	packPath, idxPath, staged := g.staging.files(req.GetSigner(), req.GetId(), p)
	if !staged {
		if !g.repo.HasPack(p.GetName()) {
			return failure(wire.FailureCode_FAILURE_NOT_FOUND, fmt.Sprintf("payload %.64q is not here as files", p.GetName()), "")
		}
		packPath, idxPath = g.repo.PackPath(p.GetName()), g.repo.IdxPath(p.GetName())
	}
	pack, err := os.Open(packPath)
	if err != nil {
		return err
	}
	defer pack.Close()
	idx, err := os.Open(idxPath)
	if err != nil {
		return err
	}
	defer idx.Close()
	if err := reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Payload{Payload: &wire.PayloadReply{PackBytes: p.GetPackSize(), IdxBytes: p.GetIdxSize()}}}); err != nil {
		return err
	}
	body := moving{Stream: s}
	if _, err := io.CopyN(body, pack, int64(p.GetPackSize())); err != nil {
		return err
	}
	_, err = io.CopyN(body, idx, int64(p.GetIdxSize()))
	return err
}

// serveStage takes a payload while it arrives at the leader.
func (n *Node) serveStage(from identity.PeerID, s wire.Stream, req *wire.StagePayload) error {
	g, err := n.memberGroup(from, req.GetRepo(), req.GetGenesis())
	if err != nil {
		return err
	}
	if n := len(req.GetTxSha256()); n != 0 && n != sha256.Size {
		return errBadRequest("hash of a transaction has %d bytes", n)
	}
	in := &intake{g: g}
	defer in.end()
	if err := in.begin(); err != nil {
		return err
	}
	a, err := g.staging.begin(from, req.GetSigner(), req.GetId(), req.GetTxSha256(), n.cfg.PackBytesMax)
	if err != nil {
		return err
	}
	defer a.abort()
	p, err := n.stage(a, in, s)
	if isDiskFull(err) {
		return n.errDiskFull("")
	}
	if err != nil {
		return err
	}
	// NB: done is said also for what is dropped here. The leader believes then that it
	// is held, and that does no harm: these very bytes took effect, so an entry that
	// names it once more is a repeat, for which it is fetched again.
	if err := g.dropLate(req.GetSigner(), req.GetId(), req.GetTxSha256(), p, 0); err != nil {
		return err
	}
	return done(s)
}

// dropLate drops a payload that was published before it was all here: of the leader's
// stream and what this replica fetched itself, the other came first. One that is not
// published yet is dropped by the publisher, and one that was refused stays until its
// entry goes. index is the entry that it was fetched for: one that is not published
// waits for it, even if it repeats an earlier one. Other bytes may have the same ID.
func (g *group) dropLate(signer, id, txSum []byte, p *wire.Payload, index uint64) error {
	key, err := identity.ParsePublicKey(signer)
	if err != nil {
		return nil // nothing of that name can commit
	}
	published, err := ask(g.n.ctx, g.n, func() bool {
		o := g.core.Table().Outcome(key, id)
		return didSome(o) && bytes.Equal(o.GetTxSha256(), txSum) && max(o.GetIndex(), index) <= g.pub.published()
	})
	if err != nil || !published {
		return err
	}
	return g.staging.drop(signer, id, txSum, p)
}

// didSome says whether a transaction did any of what it asks for, so that its objects
// are in the store of whoever published it.
func didSome(o *wire.Outcome) bool {
	return slices.ContainsFunc(o.GetResults(), func(r *wire.Result) bool { return r.GetCode() == wire.Code_CODE_OK })
}

func (n *Node) stage(a *arrival, in *intake, s wire.Stream) (*wire.Payload, error) {
	body := &guarded{Reader: moving{Stream: s}, n: n, in: in}
	for {
		chunk := new(wire.StageChunk)
		if err := wire.ReadFrame(body, chunk, wire.ChunkBytesMax); err != nil {
			return nil, err
		}
		if p := chunk.GetFinish(); p != nil {
			if err := in.upTo(a.size + a.idxSize); err != nil {
				return nil, err
			}
			return p, a.finish(p)
		}
		if err := a.take(chunk); err != nil {
			return nil, err
		}
	}
}

func (a *arrival) take(chunk *wire.StageChunk) error {
	switch kind := chunk.GetKind().(type) {
	case *wire.StageChunk_Data:
		return a.writePack(kind.Data)
	case *wire.StageChunk_Cut:
		return a.apply(kind.Cut)
	case *wire.StageChunk_Idx:
		return a.writeIdx(kind.Idx)
	}
	return errBadRequest("unknown chunk")
}

func (n *Node) serveWhere(from identity.PeerID, s wire.Stream, req *wire.Where) error {
	id, err := identity.RepoIDFromBytes(req.GetRepo())
	if err != nil {
		return errBadRequest("%v", err)
	}
	g := n.group(id)
	if g == nil || g.genesis.Private && !g.hadSeat(from) {
		return n.whereNone(from, s, id)
	}
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	state, problem, err := g.state(ctx)
	if err != nil {
		return err
	}
	where := &wire.WhereReply{
		Genesis: g.genesis.Signed, Leader: []byte(state.Leader), Term: state.Term, Index: state.Applied, RaftId: g.raftID,
		Members: state.Membership.Wire(), MembersIndex: state.Membership.Index, Lineage: state.Membership.Lineage.Wire(),
	}
	if problem != nil {
		where.Problem, where.Lost = withoutPaths(problem), isLoss(problem)
	}
	if _, err := ask(ctx, n, func() bool {
		where.State, where.Then = g.core.Table().State(), g.core.StateAt(req.GetState().GetIndex())
		if _, member := g.members().Member(from); member {
			g.compare(req.GetState(), "asked by "+from.String())
		}
		return true
	}); err != nil {
		return err
	}
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Where{Where: where}})
}
