package node

import (
	"cmp"
	"context"
	"io"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	"peer/replica"
	"peer/wire"
)

const (
	// listedPiece and proofsBytes are how much one frame of a listing with proofs holds.
	listedPiece = 500
	proofsBytes = 1 << 20
	// provedTries is how often a listing is made anew because a push came between it
	// and its proofs.
	provedTries = 10
)

// proves says whether the client asked for a listing with proofs, and gets one.
func (s *session) proves() bool {
	return s.hello.GetProve() && s.hello.GetIntent() == wire.Intent_INTENT_FETCH && s.hello.GetGitVersion().Git() == 2
}

// fetchProved lists the refs with what proves them. Git's own bytes come behind that: it
// starts meanwhile, and is held back.
func (s *session) fetchProved(ctx context.Context, body wire.Stream) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &heldWriter{to: body, ready: make(chan struct{})}
	var proving sync.WaitGroup
	proving.Go(func() {
		if out.err = s.prove(ctx, body); out.err != nil {
			cancel(out.err)
		}
		close(out.ready)
	})
	err := s.g.repo.UploadPack(ctx, body, out, 2, &s.g.pub.gate)
	proving.Wait()
	if out.err != nil {
		return out.err
	}
	if err != nil {
		s.g.log.Debug("fetch ended", "error", err)
		_ = s.stream.Reset()
	}
	return nil
}

// heldWriter writes once it may.
type heldWriter struct {
	to    io.Writer
	ready chan struct{}
	err   error // why it never may
}

func (h *heldWriter) Write(p []byte) (int, error) {
	<-h.ready
	if h.err != nil {
		return 0, h.err
	}
	return h.to.Write(p)
}

// prove sends the listing, the transactions that set what is new to the client, and who
// vouches for all of it.
func (s *session) prove(ctx context.Context, to io.Writer) error {
	waiting, cancel := context.WithTimeout(ctx, behindTimeout)
	defer cancel()
	l, e, err := s.evidence(waiting)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		// It may lack objects that no other replica has now: a place must not be held for that.
		return failure(wire.FailureCode_FAILURE_BUSY, errBehind.Error()+": refs moved, and what they moved to is not here", "try again in a moment, or start the other replicas")
	}
	if err != nil {
		return err
	}
	vouched := make(chan *wire.Vouched, 1)
	var asking sync.WaitGroup
	defer asking.Wait()
	asking.Go(func() { vouched <- s.g.vouch(ctx, e.claim, e.problem == nil) })
	for _, frame := range l.frames {
		if err := wire.WriteChunk(to, frame); err != nil {
			return err
		}
	}
	for kept := range pieces(e.kept, proofsBytes) {
		if err := wire.WriteFrame(to, &wire.ToClient{Kind: &wire.ToClient_Proofs{Proofs: &wire.Proofs{Transactions: kept}}}); err != nil {
			return err
		}
	}
	answer := proto.CloneOf(<-vouched)
	answer.Head = l.head
	return wire.WriteFrame(to, &wire.ToClient{Kind: &wire.ToClient_Vouched{Vouched: answer}})
}

// evidence is what the loop has for a listing.
type evidence struct {
	kept    []*wire.Kept
	claim   *replica.Claim
	problem error
	stands  bool   // the table has not moved on from one of its refs
	applied uint64 // by now
}

// evidence takes a listing and what proves it. The table runs ahead of what is published,
// and an entry that it applied may have dropped a proof: then the listing is made anew,
// when that is published too.
func (s *session) evidence(ctx context.Context) (*listed, evidence, error) {
	for range provedTries {
		l, err := s.g.pub.listed()
		if err != nil {
			return nil, evidence{}, err
		}
		first, _ := slices.BinarySearch(l.indexes, s.hello.GetProvedIndex()+1)
		wanted := l.indexes[first:]
		e, err := ask(ctx, s.n, func() evidence {
			t := s.g.core.Table()
			return evidence{t.Kept(wanted), s.g.core.Claim(l.index), s.g.problem, t.Stand(wanted), t.Index()}
		})
		if err != nil || e.claim != nil && e.stands {
			return l, e, err
		}
		if err := s.g.pub.wait(ctx, e.applied); err != nil {
			return nil, e, err
		}
	}
	return nil, evidence{}, failure(wire.FailureCode_FAILURE_BUSY, "refs move faster here than this replica can prove where they are", "try again in a moment")
}

// pieces cuts a list so that each piece, but for a single large one, has so many bytes at most.
func pieces(list []*wire.Kept, bytesMax int) func(func([]*wire.Kept) bool) {
	return func(yield func([]*wire.Kept) bool) {
		for len(list) > 0 {
			n, size := 0, 0
			for n < len(list) && (n == 0 || size+proto.Size(list[n]) <= bytesMax) {
				size += proto.Size(list[n])
				n++
			}
			if !yield(list[:n]) {
				return
			}
			list = list[n:]
		}
	}
}

// listed is the published listing of one index, ready to be sent. It never changes.
type listed struct {
	index   uint64
	head    string
	indexes []uint64 // of the entries that set the refs, sorted, each once
	frames  [][]byte // in the order of the names
}

// listed makes it, or takes the one that was made for this index.
func (p *publisher) listed() (*listed, error) {
	if l := p.proved.Load(); l != nil && l.index == p.published() {
		return l, nil
	}
	refs, l := p.listNow()
	slices.SortFunc(refs, func(a, b *wire.ListedRef) int { return cmp.Compare(a.GetName(), b.GetName()) })
	for _, r := range refs {
		l.indexes = append(l.indexes, r.GetIndex())
	}
	slices.Sort(l.indexes)
	l.indexes = slices.Compact(l.indexes)
	for piece := range slices.Chunk(refs, listedPiece) {
		frame, err := proto.Marshal(&wire.ToClient{Kind: &wire.ToClient_Listed{Listed: &wire.Listed{Refs: piece}}})
		if err != nil {
			return nil, err
		}
		l.frames = append(l.frames, frame)
	}
	p.proved.Store(l)
	return l, nil
}

func (p *publisher) listNow() ([]*wire.ListedRef, *listed) {
	p.gate.RLock()
	defer p.gate.RUnlock()
	l := &listed{index: p.published(), head: p.head}
	refs := make([]*wire.ListedRef, 0, len(p.refs))
	for name, r := range p.refs {
		listed := &wire.ListedRef{Name: name, Oid: r.OID.Bytes(), Index: p.setBy[name]}
		if !r.Peeled.IsZero() && r.Peeled != r.OID {
			listed.Peeled = r.Peeled.Bytes()
		}
		refs = append(refs, listed)
	}
	return refs, l
}
