package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// historyLook is how often one who waits for a log to go on looks whether its
// replica is still the same.
const historyLook = 30 * time.Second

// History is what a run of entries of one repository's log did, in order.
type History struct {
	Through uint64 // all entries up to this one were looked at
	// Gap says which entries the log here no longer has, though they were asked for;
	// nil where it has all. GapFirst is the first of them, and the gap's index the last.
	Gap      *Event
	GapFirst uint64
	// Events are of the kinds [EventCommit], [EventLeader], which says who leads where
	// that is still so, and [EventMembers], without the members.
	Events []Event

	err error
}

// History reads what a repository's log says after an index, as this node's own
// replica keeps it, and waits for something to be there: published, so that who hears
// of a push finds it. Whoever wants all of it goes on from Through.
func (n *Node) History(ctx context.Context, repo identity.RepoID, after uint64) (History, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(context.Cause(n.ctx)) })()
	after = max(after, 1) // the genesis, which is in no log
	for {
		g := n.group(repo)
		if g == nil {
			return History{}, noReplica(repo)
		}
		waiting, done := context.WithTimeout(ctx, historyLook)
		err := g.pub.wait(waiting, after+1)
		done()
		switch {
		case ctx.Err() != nil:
			return History{}, context.Cause(ctx)
		case errors.Is(err, context.DeadlineExceeded):
			continue
		case err != nil:
			return History{}, err
		}
		type answer struct {
			h   History
			err error
		}
		a, err := ask(ctx, n, func() answer {
			h, err := g.history(after)
			return answer{h, err}
		})
		return a.h, errors.Join(err, a.err)
	}
}

// history reads some entries after one, on the loop's goroutine.
func (g *group) history(after uint64) (History, error) {
	to := g.pub.published()
	first, err := g.raftLog.FirstIndex()
	if err != nil {
		return History{}, err
	}
	h := History{Through: min(after+logPageEntries, to)}
	if first > after+1 {
		h.GapFirst = after + 1
		after = min(first-1, to)
		h.Through = min(after+logPageEntries, to)
		gap := g.event(Event{Kind: EventGap, Index: after, Detail: fmt.Sprintf("entries %d to %d are no longer in the log of this node", h.GapFirst, after)})
		h.Gap = &gap
	}
	if after >= to {
		return h, nil
	}
	entries, err := g.raftLog.Entries(after+1, h.Through+1, logPageBytes)
	if err != nil {
		return h, err
	}
	for _, e := range entries {
		h.Through = e.GetIndex() // there may be fewer than were asked for
		if event, ok := g.happened(e); ok {
			h.Events = append(h.Events, g.event(event))
		}
	}
	return h, nil
}

// happened is what watchers are told of an entry that is applied.
func (g *group) happened(e *pb.Entry) (Event, bool) {
	event := Event{Index: e.GetIndex(), Term: e.GetTerm()}
	if term, _ := g.core.Leading(); term == e.GetTerm() {
		event.Leader = g.leader.of
	}
	entry, tx, err := decode(e)
	switch {
	case err != nil:
		return event, false
	case e.GetType() != pb.EntryNormal:
		event.Kind = EventMembers
		return event, true
	case len(e.GetData()) == 0:
		event.Kind = EventLeader // whom a term's first entry is from
		return event, true
	}
	event.Kind, event.At = EventCommit, time.UnixMilli(entry.GetStampUnixMs())
	if event.Signer, err = identity.ParsePublicKey(entry.GetTransaction().GetSigner()); err != nil {
		return event, false // the group's own
	}
	outcome := g.core.Table().Outcome(event.Signer, tx.GetId())
	if outcome.GetIndex() != e.GetIndex() {
		return event, false // sent before, or refused as a whole
	}
	for i, r := range outcome.GetResults() {
		if r.GetCode() == wire.Code_CODE_OK && i < len(tx.GetOperations()) {
			event.add(tx.GetOperations()[i])
		}
	}
	return event, len(event.Refs) > 0 || event.Detail != ""
}

// add takes in what one operation did.
func (e *Event) add(op *wire.Operation) {
	switch kind := op.GetKind().(type) {
	case *wire.Operation_RefUpdate:
		if u := kind.RefUpdate; !bytes.Equal(u.GetOld(), u.GetNew()) {
			e.Refs = append(e.Refs, replica.RefChange{Name: u.GetName(), Old: u.GetOld(), New: u.GetNew()})
		}
	case *wire.Operation_SetHead:
		e.Detail = headMoved(kind.SetHead.GetNew())
	}
}

func headMoved(to string) string { return "HEAD is " + to }

// Published says which repository this is, and up to where this node's replica shows it.
func (n *Node) Published(repo identity.RepoID) (*replica.Genesis, uint64, error) {
	g := n.group(repo)
	if g == nil {
		return nil, 0, noReplica(repo)
	}
	return g.genesis, g.pub.published(), nil
}

func noReplica(repo identity.RepoID) error {
	return failure(wire.FailureCode_FAILURE_NOT_FOUND, "this node has no replica of repository "+repo.Short(), "ask a node that has one: peer repo show")
}

// Forced says whether a branch left something behind when it moved. An error means
// that git can't tell.
func (n *Node) Forced(ctx context.Context, repo identity.RepoID, old, new git.OID) (bool, error) {
	g := n.group(repo)
	if g == nil {
		return false, noReplica(repo)
	}
	forward, err := g.repo.IsAncestorIdly(ctx, old, new)
	return !forward, err
}
