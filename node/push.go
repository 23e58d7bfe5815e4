package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// refsPerFrame keeps a RefList below wire.ToClientBytesMax whatever the names.
const refsPerFrame = 500

// push is one transaction on its way through the leader.
type push struct {
	*session
	signed  *wire.Signed
	tx      *wire.Transaction
	signer  identity.PublicKey
	key     txKey
	news    []git.OID
	shallow []git.OID
	// asked is what git has to be asked about moves of protected refs, and found what
	// of that is so.
	asked, found []*wire.Ancestry
	telling      *telling // while it runs
	intake       *intake
	proposed     bool // perhaps
}

// leadPush leads a push session: list, take the transaction, take the pack,
// propose, answer with the outcome.
func (s *session) leadPush(ctx context.Context) error {
	p, err := s.confirm(ctx, requestTimeout)
	if err != nil {
		return err
	}
	if p.stale {
		return s.errNoLeader()
	}
	if err := s.list(p); err != nil {
		return err
	}
	req := new(wire.PushRequest)
	if err := s.stream.SetDeadline(time.Now().Add(s.patience())); err != nil {
		return err
	}
	if err := wire.ReadFrame(s.stream, req, wire.RequestBytesMax); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // nothing to push
		}
		return errBadRequest("push request: %v", err)
	}
	u, err := s.newPush(req)
	if err != nil {
		return err
	}
	return u.run(ctx, req.GetHasPack())
}

func (s *session) list(p position) error {
	refs, head, index := s.g.pub.list()
	p.index = index // a listing belongs to exactly one index: the published one
	if err := s.welcome(p, head); err != nil {
		return err
	}
	for first := true; first || len(refs) > 0; first = false {
		part := refs[:min(len(refs), refsPerFrame)]
		refs = refs[len(part):]
		list := &wire.RefList{Done: len(refs) == 0}
		for _, r := range part {
			list.Refs = append(list.Refs, &wire.Ref{Name: r.Name, Oid: r.OID.Bytes()})
		}
		if err := send(s.stream, &wire.ToClient{Kind: &wire.ToClient_Refs{Refs: list}}); err != nil {
			return err
		}
	}
	return nil
}

// newPush checks the signature before anything else is believed.
func (s *session) newPush(req *wire.PushRequest) (*push, error) {
	u := &push{session: s, signed: req.GetTransaction(), tx: new(wire.Transaction), intake: &intake{g: s.g}}
	var err error
	if u.signer, err = replica.Open(u.signed, identity.DomainTransaction, u.tx); err != nil {
		return nil, failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "transaction: "+err.Error(), "nothing was changed")
	}
	sum := sha256.Sum256(u.signed.GetBody())
	var ok bool
	if u.key, ok = newTxKey(u.signer, u.tx.GetId(), sum[:]); !ok {
		return nil, errBadRequest("transaction ID of %d bytes", len(u.tx.GetId()))
	}
	for _, op := range u.tx.GetOperations() {
		if update := op.GetRefUpdate(); update != nil && len(update.GetNew()) > 0 {
			oid, err := git.FromBytes(update.GetNew())
			if err != nil || len(update.GetNew()) != s.g.genesis.OIDBytes() {
				return nil, errBadRequest("object ID of %d bytes in a %s repository", len(update.GetNew()), s.g.genesis.ObjectFormat)
			}
			if oid.IsZero() { // git's word for none, which is no bytes here: the table would keep a ref to nothing
				return nil, errBadRequest("%.100q would point at the null object; to delete a ref leave its new object ID empty", update.GetName())
			}
			u.news = append(u.news, oid)
		}
	}
	u.news = unique(u.news)
	if u.shallow, err = oids(req.GetShallow()); err != nil {
		return nil, errBadRequest("shallow: %v", err)
	}
	return u, nil
}

func (u *push) run(ctx context.Context, hasPack bool) error {
	u.hold(ctx, 1)
	defer u.hold(u.n.ctx, -1)
	known, refusal, err := u.courtesy(ctx)
	if err != nil {
		return err
	}
	if known != nil {
		return u.done(ctx, known)
	}
	if refusal != nil {
		return refusal
	}
	if err := u.admitRate(); err != nil {
		return err
	}
	outcome, err := u.decide(ctx, hasPack)
	if err != nil && !u.proposed {
		u.n.rates.giveBack(u.signer)
	}
	if err != nil {
		return err
	}
	return u.done(ctx, outcome)
}

// decide gets the objects here and the transaction into the log.
func (u *push) decide(ctx context.Context, hasPack bool) (*wire.Outcome, error) {
	entry := &wire.Entry{Transaction: u.signed}
	defer u.intake.end()
	if hasPack {
		var err error
		if entry.Payload, err = u.resume(ctx); err != nil {
			return nil, err
		}
	}
	skip := entry.Payload != nil
	if err := u.goAhead(skip); err != nil {
		return nil, err
	}
	u.telling = u.startTelling()
	defer u.telling.stop()
	if !skip {
		var err error
		if entry.Payload, err = u.receive(ctx, hasPack); err != nil {
			return nil, u.refusePack(err)
		}
	}
	entry.Ancestry = u.found
	u.telling.waitsFor("waiting until a majority of the replicas acknowledges the push")
	u.proposed = true
	return u.commit(ctx, entry)
}

// hold counts pushes in flight: meanwhile leadership is not handed over, nor the
// floor raised above what they rest on.
func (u *push) hold(ctx context.Context, by int) {
	_, _ = ask(ctx, u.n, func() bool { // a closing node counts nothing
		u.g.leader.pushes += by
		if u.g.bases[u.tx.GetBase()] += by; u.g.bases[u.tx.GetBase()] == 0 {
			delete(u.g.bases, u.tx.GetBase())
		}
		return true
	})
}

func (u *push) goAhead(skipPack bool) error {
	return u.tell(&wire.ToClient{Kind: &wire.ToClient_Go{Go: &wire.PushGo{SkipPack: skipPack}}})
}

// courtesy asks the table before the pack is read: what became of this ID
// already, and whether apply would refuse. Apply judges again.
func (u *push) courtesy(ctx context.Context) (known *wire.Outcome, refusal error, err error) {
	type answer struct {
		known  *wire.Outcome
		result *wire.Result
		index  uint64
		asked  []*wire.Ancestry
		writes bool
	}
	a, err := ask(ctx, u.n, func() answer {
		t := u.g.core.Table()
		if o := t.Known(u.signer, u.tx.GetId(), u.key.sum[:]); o != nil {
			return answer{known: o}
		}
		return answer{result: t.Courtesy(u.signer, u.tx), index: t.Index(), asked: t.Forward(u.signer, u.tx), writes: t.MayWrite(u.signer)}
	})
	u.asked = a.asked
	if err == nil && a.known == nil && u.tx.GetBase() > a.index {
		// The session's listing is of what this table has, so none can be of more.
		return nil, failure(wire.FailureCode_FAILURE_BEHIND,
			fmt.Sprintf("the push was made from a listing at index %d, and the group is at %d: whoever listed was wrong", u.tx.GetBase(), a.index),
			"nothing was changed; push again, which lists the refs anew"), nil
	}
	if err == nil && a.known == nil && a.result == nil {
		return nil, u.errOld(), nil
	}
	if err != nil || a.known != nil {
		return a.known, nil, err
	}
	code, hint := wire.FailureCode_FAILURE_BAD_REQUEST, "nothing was changed"
	switch a.result.GetCode() {
	case wire.Code_CODE_NOT_ALLOWED:
		code, hint = wire.FailureCode_FAILURE_NOT_ALLOWED, "nothing was changed; "+u.g.grantHint(u.signer)
		if a.writes {
			hint = "nothing was changed; " + u.g.rulesHint()
		}
	case wire.Code_CODE_EXPIRED:
		hint = "nothing was changed; fetch, then push again"
	case wire.Code_CODE_LIST_AGAIN:
		hint = "nothing was changed; push again, which lists the refs anew"
	}
	return nil, failure(code, a.result.GetDetail(), hint), nil
}

// refusePack puts what git said about a pack into words for the pusher.
func (u *push) refusePack(err error) error {
	var bad *git.BadPackError
	var large *git.TooLargeError
	var missing *git.MissingError
	var shallow *git.ShallowError
	const safe = "nothing was changed"
	switch {
	case errors.As(err, &bad):
		return failure(wire.FailureCode_FAILURE_BAD_PACK, bad.Error(), safe+"; git fsck in your repository may say more")
	case errors.As(err, &large):
		return failure(wire.FailureCode_FAILURE_TOO_LARGE, large.Error(), safe+"; push the history in parts: fewer branches, or older commits first")
	case errors.As(err, &missing):
		return failure(wire.FailureCode_FAILURE_BAD_PACK, missing.Error(), safe+"; fetch, then push again")
	case errors.As(err, &shallow):
		return failure(wire.FailureCode_FAILURE_BAD_PACK, "shallow update not allowed", safe+"; git fetch --unshallow, then push again")
	case isDiskFull(err):
		return u.n.errDiskFull("")
	}
	return err
}

// checkTypes refuses branches that would not point at commits.
func (u *push) checkTypes(objects map[git.OID]git.Object) error {
	for _, op := range u.tx.GetOperations() {
		update := op.GetRefUpdate()
		if update == nil || len(update.GetNew()) == 0 || !strings.HasPrefix(update.GetName(), "refs/heads/") {
			continue
		}
		oid, _ := git.FromBytes(update.GetNew()) // newPush checked it
		if o := objects[oid]; o.Type != git.Commit {
			return failure(wire.FailureCode_FAILURE_BAD_PACK, fmt.Sprintf("%s would point at a %s, and a branch needs a commit", update.GetName(), o.Type), "nothing was changed")
		}
	}
	return nil
}

// done reports an outcome, on how many disks it is known to be, and what proves it.
func (u *push) done(ctx context.Context, o *wire.Outcome) error {
	type known struct {
		durable  uint32
		evidence *replica.Evidence
		err      error
	}
	// A commit is a majority, even if this node stops or no longer leads.
	d := &wire.PushDone{Outcome: o, Replicas: uint32(len(u.g.members().Voters())), Leader: []byte(u.n.self), Durable: uint32(u.g.members().Quorum())}
	k, err := ask(ctx, u.n, func() (k known) {
		for _, m := range u.g.core.State().Members {
			if m.Votes() && m.Match >= o.GetIndex() {
				k.durable++
			}
		}
		if k.err = replica.ErrNoReceipt; o.GetIndex() > 0 {
			k.evidence, k.err = u.g.core.Evidence(o.GetIndex())
		}
		return k
	})
	if err == nil {
		d.Durable, err = max(d.Durable, k.durable), k.err
	}
	// Signatures are checked here, beside the loop.
	if err == nil {
		d.Receipt, err = k.evidence.Receipt(u.n.cfg.Key)
	}
	if err != nil {
		d.NoReceipt = err.Error()
	}
	return u.tell(&wire.ToClient{Kind: &wire.ToClient_Done{Done: d}})
}

// tell sends something to the pusher, however long ago the last bytes came.
func (u *push) tell(m *wire.ToClient) error { return send(moving{Stream: u.stream}, m) }

// readSum reads a file and its hash; for payloads small enough to ride in an entry.
func readSum(path string) (data, sum []byte, err error) {
	data, err = os.ReadFile(path)
	h := sha256.Sum256(data)
	return data, h[:], err
}
