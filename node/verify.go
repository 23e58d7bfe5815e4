package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/git"
	"peer/identity"
	"peer/replica"
	"peer/wire"
)

// verifyPatience is how long a replica may say nothing while it checks itself;
// verifyBeat is how often it says that it is still at it.
const (
	verifyPatience = 30 * time.Second
	verifyBeat     = 5 * time.Second
	findingsMax    = 200
)

// Verdict is what one replica says about itself.
type Verdict struct {
	Peer     identity.PeerID
	Progress string         // it is not done yet
	Report   *wire.Verified // nil while it is not, and where Err is set
	Err      error
}

// Verify has every replica check its objects, refs and log against each other,
// and hands over what they say, one call at a time.
func (c *Client) Verify(ctx context.Context, repo identity.RepoID, deep bool, tell func(Verdict) error) error {
	g, err := c.locate(ctx, repo)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	say := func(v Verdict) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil {
			if err := tell(v); err != nil {
				cancel(err)
			}
		}
	}
	var wg sync.WaitGroup
	for _, p := range c.everyone(g) {
		wg.Go(func() {
			err := c.converse(ctx, g, p, verifyPatience, func(h *wire.Hello) {
				h.Intent, h.Deep = wire.Intent_INTENT_VERIFY, deep
			}, func(m *wire.ToClient) (bool, error) {
				if text := m.GetProgress().GetText(); len(text) > 0 {
					say(Verdict{Peer: p, Progress: strings.ToValidUTF8(string(text), "?")})
				}
				if r := m.GetVerified(); r != nil {
					say(Verdict{Peer: p, Report: r})
				}
				return m.GetVerified() != nil, nil
			})
			if err != nil {
				say(Verdict{Peer: p, Err: err})
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// verify checks this replica for a client, one at a time on this node.
func (s *session) verify(ctx context.Context) error {
	_, member := s.g.members().Member(s.user.PeerID())
	may, err := ask(ctx, s.n, func() bool { return s.g.core.Table().MayWrite(s.user) })
	if err != nil {
		return err
	}
	if !member && !may {
		return failure(wire.FailureCode_FAILURE_NOT_ALLOWED, "only those who may write to "+s.g.genesis.Name+" may have its replicas check themselves", s.g.grantHint(s.user))
	}
	said := func(text string) error {
		if err := s.stream.SetDeadline(time.Now().Add(verifyPatience)); err != nil {
			return err
		}
		return send(s.stream, &wire.ToClient{Kind: &wire.ToClient_Progress{Progress: &wire.Progress{Text: []byte(text)}}})
	}
	if err := said("waiting for its turn"); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type answer struct {
		report *wire.Verified
		err    error
	}
	done := make(chan answer, 1)
	s.n.spawn(func() {
		leave, err := admit(ctx, s.n.verifying)
		if err != nil {
			done <- answer{nil, err}
			return
		}
		defer leave()
		report, err := s.g.verify(ctx, s.hello.GetDeep())
		done <- answer{report, err}
		if err != nil {
			return
		}
		if err := s.g.treat(s.n.ctx, report); err != nil {
			s.g.log.Error("damage not mended", "error", err)
		}
	})
	beat := time.NewTicker(verifyBeat)
	defer beat.Stop()
	for {
		select {
		case a := <-done:
			if a.err != nil {
				return a.err
			}
			return send(s.stream, &wire.ToClient{Kind: &wire.ToClient_Verified{Verified: a.report}})
		case <-beat.C:
			if err := said("checking"); err != nil { // who asked is gone
				cancel(err)
				<-done
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// verify checks table, log, refs and objects of this replica against each other.
// It repairs git's refs, as a start does, and says so.
func (g *group) verify(ctx context.Context, deep bool) (*wire.Verified, error) {
	r := &wire.Verified{Peer: []byte(g.n.self)}
	if err := g.verifyTable(ctx, r); err != nil {
		return nil, err
	}
	if err := g.verifyLog(ctx, r); err != nil {
		return nil, err
	}
	if err := g.verifyRefs(ctx, r); err != nil {
		return nil, err
	}
	damage, err := g.fsck(ctx, deep)
	if err != nil {
		return nil, err
	}
	for _, line := range damage {
		addFinding(r, "objects", "%s", line)
	}
	for _, f := range r.GetFindings() {
		g.log.Error("a check found damage", "part", f.GetPart(), "detail", f.GetDetail(), "mended", f.GetMended())
		g.emit(Event{Kind: EventDamage, Peer: g.n.self, Detail: f.GetPart() + ": " + f.GetDetail()})
	}
	return r, nil
}

func (g *group) fsck(ctx context.Context, deep bool) ([]string, error) {
	g.packsGo.Lock()
	defer g.packsGo.Unlock()
	return g.repo.Fsck(ctx, deep)
}

func addFinding(r *wire.Verified, part, format string, args ...any) {
	if len(r.GetFindings()) < findingsMax {
		r.Findings = append(r.Findings, &wire.Finding{Part: part, Detail: strings.ToValidUTF8(fmt.Sprintf(format, args...), "?")})
	}
}

// verifyTable looks at the table in memory and at the stored one.
func (g *group) verifyTable(ctx context.Context, r *wire.Verified) error {
	now, err := ask(ctx, g.n, func() error {
		t := g.core.Table()
		r.State, r.Refs = t.State(), uint64(len(t.Refs()))
		if g.problem != nil {
			addFinding(r, "replica", "takes no part in its group: %s", withoutPaths(g.problem))
		}
		if g.doubt != nil {
			addFinding(r, "replica", "%v", g.doubt)
		}
		return t.CheckRefs()
	})
	if err != nil {
		return err
	}
	if now != nil {
		addFinding(r, "table", "in memory: %v", now)
	}
	stored, err := replica.LoadTable(func(f func(string, []byte) error) error { return g.n.cfg.Store.Table(g.genesis.Repo, f) }, g.n.rules)
	if err != nil {
		addFinding(r, "table", "on disk: %v", err)
		return nil
	}
	same, err := ask(ctx, g.n, func() bool {
		here := g.core.StateAt(stored.Index())
		return here == nil || replica.SameState(here, stored.State())
	})
	if err == nil && !same {
		addFinding(r, "table", "on disk: another table at index %d than in memory", stored.Index())
	}
	return err
}

// verifyLog reads the log, and computes the chain over what was applied since
// this node started.
func (g *group) verifyLog(ctx context.Context, r *wire.Verified) error {
	var chain []byte
	var next, term uint64
	var said []saidForward
	for first := true; ; first = false {
		more, err := ask(ctx, g.n, func() bool {
			begin, err1 := g.raftLog.FirstIndex()
			last, err2 := g.raftLog.LastIndex()
			if err1 != nil || err2 != nil {
				addFinding(r, "log", "unreadable: %v %v", err1, err2)
				return false
			}
			if first || next < begin {
				next, chain = begin, nil
				r.LogFirst = begin
			}
			if next > last {
				return false
			}
			entries, err := g.raftLog.Entries(next, last+1, logPageBytes)
			if err != nil || len(entries) == 0 {
				addFinding(r, "log", "entry %d of %d to %d is unreadable: %v", next, begin, last, err)
				return false
			}
			for _, e := range entries {
				if e.GetIndex() != next || e.GetTerm() < term {
					addFinding(r, "log", "entry %d of term %d where %d should be", e.GetIndex(), e.GetTerm(), next)
				}
				next, term = next+1, e.GetTerm()
				said = append(said, g.forwardIn(e)...)
				chain = g.verifyChain(r, chain, e)
			}
			return true
		})
		if err != nil {
			return err
		}
		if !more {
			return g.verifyForward(ctx, r, said)
		}
	}
}

// verifyChain goes on with the chain over one entry, from the first whose
// predecessor this replica remembers.
func (g *group) verifyChain(r *wire.Verified, chain []byte, e *pb.Entry) []byte {
	index := e.GetIndex()
	if chain == nil {
		if chain = g.core.StateAt(index - 1).GetChain(); chain == nil {
			return nil
		}
	}
	now := replica.LinkOf(e.GetTerm(), e.GetType(), e.GetData()).Extend(index, [sha256.Size]byte(chain))
	chain = now[:]
	if applied := g.core.StateAt(index); applied != nil && !bytes.Equal(chain, applied.GetChain()) {
		addFinding(r, "log", "entry %d is not the one that was applied", index)
		return applied.GetChain()
	}
	return chain
}

// verifyRefs compares what git reads with what is published, under the gate, and
// puts it right.
func (g *group) verifyRefs(ctx context.Context, r *wire.Verified) error {
	differ, index, err := g.refsDiffer(ctx)
	if err != nil || len(differ) == 0 {
		return err
	}
	for _, what := range differ {
		addFinding(r, "refs", "%s", what)
	}
	if err := g.pub.again(); err != nil {
		return err
	}
	for _, f := range r.GetFindings() {
		f.Mended = f.Mended || f.GetPart() == "refs"
	}
	g.log.Warn("git's refs were not the table's, and were put right", "index", index, "first", differ[0])
	return nil
}

// refsDiffer lists how git's refs differ from the published ones.
func (g *group) refsDiffer(ctx context.Context) (differ []string, index uint64, err error) {
	g.pub.gate.RLock()
	defer g.pub.gate.RUnlock()
	listing, err := g.repo.ReadRefs(ctx)
	if err != nil {
		differ = append(differ, fmt.Sprintf("unreadable: %v", err))
		if ctx.Err() != nil {
			return nil, 0, context.Cause(ctx)
		}
		return differ, 0, nil
	}
	have := map[string]git.OID{}
	for _, ref := range listing.Refs {
		have[ref.Name] = ref.OID
		if want, ok := g.pub.refs[ref.Name]; !ok {
			differ = append(differ, fmt.Sprintf("%s is in git and not in the table", ref.Name))
		} else if want.OID != ref.OID {
			differ = append(differ, fmt.Sprintf("%s is %s in git and %s in the table", ref.Name, ref.OID, want.OID))
		}
	}
	for name := range g.pub.refs {
		if _, ok := have[name]; !ok {
			differ = append(differ, fmt.Sprintf("%s is in the table and not in git", name))
		}
	}
	if listing.Head != g.pub.head {
		differ = append(differ, fmt.Sprintf("HEAD is %s in git and %s in the table", listing.Head, g.pub.head))
	}
	slices.Sort(differ)
	return differ, g.pub.published(), nil
}
