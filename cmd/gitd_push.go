package cmd

import (
	"bytes"
	"context"
	"io"
	"slices"

	"peer/git"
	"peer/identity"
	"peer/node/gitd"
	"peer/replica"
	"peer/wire"
)

// gitPush brings pushes of plain git clients into the log: as transactions that
// the git daemon's key signs, by the same delivery as the remote helper's.
type gitPush struct {
	client  *client
	session *session // of the listing; nil once used
	genesis *replica.Genesis
	index   uint64
	refs    []git.Ref
}

// OpenPush implements [gitd.Backend].
func (b *gitBackend) OpenPush(ctx context.Context, repo identity.Address) (gitd.Push, error) {
	p := &gitPush{client: b.client(repo)}
	s, err := openPatiently(ctx, p.client, wire.Intent_INTENT_PUSH, patience{total: pushPatience}, func(s *session) (err error) {
		p.refs, err = s.refs()
		return err
	})
	if err != nil {
		return nil, gitRefusal(err)
	}
	p.session, p.genesis, p.index = s, s.genesis, s.welcome.GetIndex()
	p.refs = slices.DeleteFunc(p.refs, func(ref git.Ref) bool { return reserved(ref.Name) })
	return p, nil
}

// Refs implements [gitd.Push].
func (p *gitPush) Refs() ([]git.Ref, git.Format) { return p.refs, git.Format(p.genesis.ObjectFormat) }

// Close implements [gitd.Push].
func (p *gitPush) Close() {
	if s := p.takeSession(); s != nil {
		s.close()
	}
}

func (p *gitPush) takeSession() *session {
	s := p.session
	p.session = nil
	return s
}

// Deliver implements [gitd.Push].
func (p *gitPush) Deliver(ctx context.Context, t *gitd.Transaction) ([]gitd.Verdict, error) {
	var ops []*wire.Operation
	for _, u := range t.Updates {
		ops = append(ops, refOperation(&wire.RefUpdate{Name: u.Name, Old: u.Old.Bytes(), New: u.New.Bytes()}))
	}
	d, err := newDelivery(p.client, p.genesis, p.index, t.Atomic, ops, t.Options)
	if err != nil {
		return nil, err
	}
	for _, oid := range t.Shallow {
		d.shallow = append(d.shallow, oid.Bytes())
	}
	if d.hasPack = t.Pack != nil; d.hasPack {
		d.pack = func(context.Context) (io.ReadCloser, error) { return t.Pack(), nil }
	}
	d.patience.total = pushPatience
	d.say = &remoteText{w: unprefixed{t.Progress}, options: &remoteOptions{verbosity: 1}}
	done, err := d.send(ctx, p.takeSession())
	if err != nil {
		return nil, pushRefusal(err)
	}
	d.say.flush()
	verdicts := verdictsOf(done.Outcome, len(ops))
	if slices.Contains(verdicts, "") {
		t.Say(commitLine(commitOf(done)))
	}
	if err := d.keepReceipt(done); err != nil {
		t.Say("the push is committed, but this home could not keep its receipt: " + err.Error())
	}
	return verdicts, nil
}

// pushRefusal is gitRefusal for one that concerns every ref of a push.
func pushRefusal(err error) error {
	if refusedByReplica(err) {
		return withHint(refusalReason(err), hintOf(err))
	}
	return gitRefusal(err)
}

func verdictsOf(outcome *wire.Outcome, refs int) []gitd.Verdict {
	if whole := outcome.GetResult(); whole.GetCode() != wire.Code_CODE_OK {
		return slices.Repeat([]gitd.Verdict{verdictOf(whole)}, refs)
	}
	var verdicts []gitd.Verdict
	for _, result := range outcome.GetResults() { // the delivery has checked how many there are
		verdicts = append(verdicts, verdictOf(result))
	}
	return verdicts
}

func verdictOf(result *wire.Result) gitd.Verdict {
	switch result.GetCode() {
	case wire.Code_CODE_OK:
		return ""
	case wire.Code_CODE_STALE:
		return "moved by somebody else meanwhile: fetch, then push again"
	case wire.Code_CODE_SIBLING:
		return whyAtomic
	}
	return gitd.Verdict(reasonOf(result))
}

// unprefixed takes off what git at the other end of the connection puts on again.
type unprefixed struct{ io.Writer }

func (u unprefixed) Write(line []byte) (int, error) {
	_, err := u.Writer.Write(bytes.TrimPrefix(line, []byte("remote: ")))
	return len(line), err
}
