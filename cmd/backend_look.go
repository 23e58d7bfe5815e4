package cmd

import (
	"context"
	"encoding/hex"

	"peer/identity"
	"peer/node"
	"peer/node/control/pb"
	"peer/wire"
)

func (b *repoBackend) Log(ctx context.Context, q *pb.LogRequest) (*pb.LogReply, error) {
	c, id, err := b.resolve(q.GetRepo())
	if err != nil {
		return nil, err
	}
	return pbLog(c.Log(ctx, id, int(q.GetCount())))
}

func (b *repoBackend) Why(ctx context.Context, q *pb.WhyRequest) (*pb.WhyReply, error) {
	c, id, err := b.resolve(q.GetRepo())
	if err != nil {
		return nil, err
	}
	return pbWhy(c.Why(ctx, id))
}

func (b *repoBackend) Verify(ctx context.Context, q *pb.VerifyRequest, emit func(*pb.VerifyReply) error) error {
	c, id, err := b.resolve(q.GetRepo())
	if err != nil {
		return err
	}
	return c.Verify(ctx, id, q.GetDeep(), func(v node.Verdict) error { return emit(pbVerdict(v)) })
}

func pbLog(v node.LogView, err error) (*pb.LogReply, error) {
	if err != nil {
		return nil, err
	}
	out := &pb.LogReply{First: v.First, Index: v.Index, Peer: v.Peer.String()}
	for _, e := range v.Entries {
		entry := &pb.LogEntry{
			Index: e.GetIndex(), Term: e.GetTerm(), UnixMs: e.GetStampUnixMs(), More: e.GetMore(), Refused: pbRefused(e.GetResult()),
		}
		if signer, err := identity.ParsePublicKey(e.GetSigner()); err == nil {
			entry.Signer = signer.DID()
		}
		for _, c := range e.GetChanges() {
			entry.Changes = append(entry.Changes, &pb.LogChange{
				Kind: c.GetKind(), Name: c.GetName(), Old: hex.EncodeToString(c.GetOld()), New: hex.EncodeToString(c.GetNew()), Refused: pbRefused(c.GetResult()),
			})
		}
		out.Entries = append(out.Entries, entry)
	}
	return out, nil
}

// pbRefused is why something was refused; empty where it was not.
func pbRefused(r *wire.Result) string {
	if r.GetCode() == wire.Code_CODE_OK {
		return ""
	}
	if r.GetDetail() == "" {
		return r.GetCode().String()
	}
	return r.GetDetail()
}

func pbWhy(info node.Info, reasons []node.Reason, err error) (*pb.WhyReply, error) {
	if err != nil {
		return nil, err
	}
	out := &pb.WhyReply{Repo: pbRepo(info)}
	for _, r := range reasons {
		out.Reasons = append(out.Reasons, &pb.Reason{What: r.What, Hint: r.Hint, Refuses: r.Refuses})
	}
	return out, nil
}

func pbVerdict(v node.Verdict) *pb.VerifyReply {
	out := &pb.VerifyReply{Peer: v.Peer.String(), Progress: v.Progress, Done: v.Report != nil || v.Err != nil}
	if v.Err != nil {
		out.Error = v.Err.Error()
	}
	if r := v.Report; r != nil {
		out.Index, out.LogFirst, out.Refs = r.GetState().GetIndex(), r.GetLogFirst(), r.GetRefs()
		for _, f := range r.GetFindings() {
			out.Findings = append(out.Findings, &pb.Finding{Part: f.GetPart(), Detail: f.GetDetail(), Mended: f.GetMended()})
		}
	}
	return out
}
