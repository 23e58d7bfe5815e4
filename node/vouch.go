package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// vouchTimeout bounds how long a listing waits for other voters to sign what it is.
const vouchTimeout = time.Second

// voucher gathers the signatures of voters over a claim, for all sessions that list the
// same index at once, and remembers the last ones that were a majority.
type voucher struct {
	mu   sync.Mutex
	last *vouching
}

type vouching struct {
	index  uint64
	done   chan struct{}
	answer *wire.Vouched // once done
}

// vouch has voters sign a claim: enough for a majority, or those who answer in time.
// own says whether this replica may sign as well.
func (g *group) vouch(ctx context.Context, c *replica.Claim, own bool) *wire.Vouched {
	g.voucher.mu.Lock()
	v := g.voucher.last
	if v == nil || v.index != c.Index {
		v = &vouching{index: c.Index, done: make(chan struct{})}
		g.voucher.last = v
		g.n.spawn(func() { g.gatherVouched(v, c, own) })
	}
	g.voucher.mu.Unlock()
	select {
	case <-v.done:
		return v.answer
	case <-ctx.Done():
		return c.Wire(nil) // nobody reads it any more
	}
}

func (g *group) gatherVouched(v *vouching, c *replica.Claim, own bool) {
	list, enough := g.askToSign(c, own)
	v.answer = c.Wire(list)
	if !enough { // the next session asks again
		g.voucher.mu.Lock()
		if g.voucher.last == v {
			g.voucher.last = nil
		}
		g.voucher.mu.Unlock()
	}
	close(v.done)
}

func (g *group) askToSign(c *replica.Claim, own bool) (list []*wire.Endorsement, enough bool) {
	ctx, cancel := context.WithTimeout(g.n.ctx, vouchTimeout+readRoundTrips*g.roundTrip())
	defer cancel()
	voters := c.Lineage.Last().Voters
	if e := c.Sign(g.n.cfg.Key); own && e != nil {
		list = append(list, e)
	}
	if len(list) > len(voters)/2 {
		return list, true
	}
	answers := make(chan *wire.Endorsement, len(voters))
	var asked sync.WaitGroup
	asking := 0
	for _, m := range voters {
		if m.Peer == g.n.self || !g.n.cfg.Network.IsConnected(m.Peer) {
			continue
		}
		asking++
		asked.Go(func() { answers <- g.askOneToSign(ctx, m.Peer, c) })
	}
	for range asking {
		if e := <-answers; e != nil {
			list = append(list, e)
		}
		if len(list) > len(voters)/2 {
			cancel() // the others need not answer
			asked.Wait()
			return list, true
		}
	}
	return list, false
}

// askOneToSign is nil where a voter has not signed this very claim.
func (g *group) askOneToSign(ctx context.Context, p identity.PeerID, c *replica.Claim) *wire.Endorsement {
	r, err := g.n.tell(ctx, p, &wire.GroupRequest{Kind: &wire.GroupRequest_Attest{Attest: &wire.Attest{
		Repo: g.genesis.Repo[:], Genesis: g.genesis.Hash[:], Index: c.Index,
	}}})
	if err != nil {
		g.log.Debug("a voter does not sign what is listed", "peer", p, "index", c.Index, "error", err)
		return nil
	}
	e := r.GetAttest().GetEndorsement()
	if by, ok := c.Signed(e); !ok || by.Peer != p {
		g.log.Warn("a voter signs something else than what is listed here", "peer", p, "index", c.Index)
		return nil
	}
	return e
}

// claimWait is a member that waits until an entry is applied here. Publishing it may take
// longer, and nobody is shown it before.
type claimWait struct {
	index  uint64
	answer chan<- *replica.Claim // buffered for one
}

// answerClaims tells those who wait what the table was. The loop calls it.
func (g *group) answerClaims() {
	for w := range g.claims {
		if w.index <= g.core.Table().Index() {
			w.answer <- g.core.Claim(w.index)
			delete(g.claims, w)
		}
	}
}

// claimAt is what the table here was after an entry, once that is applied; nil where it
// has been forgotten.
func (g *group) claimAt(ctx context.Context, index uint64) (*replica.Claim, error) {
	answer := make(chan *replica.Claim, 1)
	w := &claimWait{index, answer}
	problem, err := ask(ctx, g.n, func() error {
		if g.claims == nil {
			g.claims = map[*claimWait]bool{}
		}
		g.claims[w] = true
		g.answerClaims()
		return g.problem
	})
	defer g.n.post(func() { delete(g.claims, w) })
	if err != nil || problem != nil {
		return nil, errors.Join(err, problem)
	}
	select {
	case c := <-answer:
		return c, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// serveAttest signs what the table here was after an entry.
func (n *Node) serveAttest(from identity.PeerID, s wire.Stream, req *wire.Attest) error {
	g, err := n.memberGroup(from, req.GetRepo(), req.GetGenesis())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(n.ctx, requestTimeout)
	defer cancel()
	claim, err := g.claimAt(ctx, req.GetIndex())
	if err != nil {
		return err
	}
	if claim == nil {
		return failure(wire.FailureCode_FAILURE_NOT_FOUND, fmt.Sprintf("what the table was at index %d is forgotten here", req.GetIndex()), "")
	}
	signed := claim.Sign(n.cfg.Key)
	if signed == nil {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "this replica has no vote", "")
	}
	return reply(s, &wire.GroupReply{Kind: &wire.GroupReply_Attest{Attest: &wire.AttestReply{Endorsement: signed}}})
}
