package node

import (
	"context"
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/identity"
	"peer/wire"
)

// Limits of one reading of the log.
const (
	logCountMax    = 1000
	logCount       = 20
	logPageEntries = 50
	logPageBytes   = 8 << 20 // of entries, packs that ride in them included
	logChangesMax  = 50      // of one entry
)

// LogView is the end of a repository's log as one replica keeps it.
type LogView struct {
	Peer    identity.PeerID
	First   uint64 // where the log begins there
	Index   uint64 // applied there
	Entries []*wire.LogEntry
}

// Log reads the last entries of a repository's log, from this node's own replica
// or from the first that answers.
func (c *Client) Log(ctx context.Context, repo identity.RepoID, count int) (LogView, error) {
	g, err := c.locate(ctx, repo)
	if err != nil {
		return LogView{}, err
	}
	if count <= 0 {
		count = logCount
	}
	last := errNotFound(repo)
	for _, p := range c.everyone(g) {
		view := LogView{Peer: p}
		last = c.converse(ctx, g, p, requestTimeout, func(h *wire.Hello) {
			h.Intent, h.LogCount = wire.Intent_INTENT_LOG, uint32(min(count, logCountMax))
		}, func(m *wire.ToClient) (bool, error) {
			page := m.GetLog()
			if page != nil && len(page.GetEntries()) == 0 && !page.GetDone() {
				return false, errBadRequest("%s sends empty pages of its log", p)
			}
			if len(view.Entries)+len(page.GetEntries()) > logCountMax {
				return false, errBadRequest("%s sends more of its log than was asked for", p)
			}
			view.First, view.Index = page.GetFirst(), page.GetIndex()
			view.Entries = append(view.Entries, page.GetEntries()...)
			return page.GetDone(), nil
		})
		if last == nil {
			return view, nil
		}
	}
	return LogView{}, failure(wire.FailureCode_FAILURE_NO_QUORUM, fmt.Sprintf("no replica of %s answers: %v", g.Name, last), "start one of its nodes, then try again")
}

// sendLog answers with the end of the log.
func (s *session) sendLog(ctx context.Context) error {
	state, _, err := s.g.state(ctx)
	if err != nil {
		return err
	}
	if err := s.welcome(position{index: state.Applied, state: state}, ""); err != nil {
		return err
	}
	count := uint64(min(max(s.hello.GetLogCount(), 1), logCountMax))
	next := state.Applied + 1 - min(count, state.Applied)
	for {
		type answer struct {
			page *wire.LogPage
			err  error
		}
		a, err := ask(ctx, s.n, func() answer {
			page, err := s.g.logPage(next, state.Applied)
			return answer{page, err}
		})
		if err != nil {
			return err
		}
		if a.err != nil {
			return a.err
		}
		if n := len(a.page.GetEntries()); n > 0 {
			next = a.page.GetEntries()[n-1].GetIndex() + 1
		}
		a.page.Done = next > state.Applied || len(a.page.GetEntries()) == 0
		if err := send(s.stream, &wire.ToClient{Kind: &wire.ToClient_Log{Log: a.page}}); err != nil || a.page.GetDone() {
			return err
		}
	}
}

// logPage reads some entries, on the loop's goroutine.
func (g *group) logPage(from, to uint64) (*wire.LogPage, error) {
	first, err := g.raftLog.FirstIndex()
	if err != nil {
		return nil, err
	}
	page := &wire.LogPage{First: first, Index: g.core.Table().Index()}
	if from = max(from, first); from > to {
		return page, nil
	}
	entries, err := g.raftLog.Entries(from, min(to+1, from+logPageEntries), logPageBytes)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		page.Entries = append(page.Entries, g.logEntry(e))
	}
	return page, nil
}

func (g *group) logEntry(e *pb.Entry) *wire.LogEntry {
	out := &wire.LogEntry{Index: e.GetIndex(), Term: e.GetTerm()}
	if e.GetType() != pb.EntryNormal {
		out.Changes = []*wire.LogChange{{Kind: "members"}}
		return out
	}
	entry, tx, err := decode(e)
	if err != nil || len(e.GetData()) == 0 {
		return out
	}
	out.StampUnixMs = entry.GetStampUnixMs()
	if c := entry.GetCollect(); c != nil {
		out.Changes = []*wire.LogChange{{Kind: "collect", Name: fmt.Sprint(c.GetFloor())}}
	}
	signer, err := identity.ParsePublicKey(entry.GetTransaction().GetSigner())
	if err != nil {
		return out
	}
	out.Signer = signer[:]
	outcome := g.core.Table().Outcome(signer, tx.GetId())
	if outcome != nil && outcome.GetIndex() != e.GetIndex() {
		out.Result = &wire.Result{Code: wire.Code_CODE_ID_REUSED, Detail: fmt.Sprintf("sent before, as entry %d", outcome.GetIndex())}
		return out
	}
	out.Result = outcome.GetResult()
	for i, op := range tx.GetOperations() {
		if i == logChangesMax {
			out.More = uint32(len(tx.GetOperations()) - i)
			break
		}
		change := ChangeOf(op)
		if i < len(outcome.GetResults()) {
			change.Result = outcome.GetResults()[i]
		}
		out.Changes = append(out.Changes, change)
	}
	return out
}

// ChangeOf is an operation as the log's readers see it.
func ChangeOf(op *wire.Operation) *wire.LogChange {
	switch kind := op.GetKind().(type) {
	case *wire.Operation_RefUpdate:
		u := kind.RefUpdate
		return &wire.LogChange{Kind: "ref", Name: clip(u.GetName(), 1000), Old: oidOrNone(u.GetOld()), New: oidOrNone(u.GetNew())}
	case *wire.Operation_SetHead:
		return &wire.LogChange{Kind: "head", Name: clip(kind.SetHead.GetNew(), 1000)}
	case *wire.Operation_AcquireLock:
		return &wire.LogChange{Kind: "lock", Name: clip(kind.AcquireLock.GetReason(), 1000)}
	case *wire.Operation_ReleaseLock:
		return &wire.LogChange{Kind: "unlock"}
	case *wire.Operation_Configure:
		return &wire.LogChange{Kind: "settings"}
	case *wire.Operation_ChangePolicy:
		return &wire.LogChange{Kind: "policy", Name: clip(describePolicyChange(kind.ChangePolicy), 1000)}
	case *wire.Operation_ReplaceKey:
		return &wire.LogChange{Kind: "key", Name: clip(describeReplacement(kind.ReplaceKey), 1000)}
	case *wire.Operation_Remove:
		return &wire.LogChange{Kind: "remove", Name: clip(kind.Remove.GetReason(), 1000)}
	}
	return &wire.LogChange{Kind: "unknown"}
}

// oidOrNone drops what is no object ID: a signed transaction may hold anything.
func oidOrNone(raw []byte) []byte {
	if len(raw) > 32 {
		return nil
	}
	return raw
}
