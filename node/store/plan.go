package store

import (
	"fmt"

	pb "go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
)

// A step is one Save of a turn that was checked against its log: what to write,
// and what the log is before and after.
type step struct {
	save          *replica.Save
	log           *Log
	before, after logState
	entries       []*pb.Entry // of save, without those that the log has forgotten
}

// plan checks a whole turn before anything of it is written.
func (s *Store) plan(turn []replica.Save) ([]*step, error) {
	steps := make([]*step, 0, len(turn))
	latest := map[identity.RepoID]*planned{}
	for i := range turn {
		save := &turn[i]
		if err := CheckLimits(save); err != nil {
			return nil, err
		}
		p := latest[save.Repo]
		if p == nil {
			l, err := s.open(save.Repo)
			if err != nil {
				return nil, err
			}
			p = &planned{log: l, state: l.state}
			latest[save.Repo] = p
		}
		next, err := p.apply(s, save)
		if err != nil {
			return nil, err
		}
		steps = append(steps, next)
	}
	return steps, nil
}

// planned is a log as the Saves of this turn so far will leave it.
type planned struct {
	log     *Log
	state   logState
	entries []*pb.Entry // of this turn; later ones replace earlier ones of the same index
}

func (p *planned) apply(s *Store, save *replica.Save) (*step, error) {
	next := &step{save: save, log: p.log, before: p.state}
	for _, part := range []func(*Store, *step) error{
		p.install, p.append, p.setHardState, p.setConf, p.compact,
	} {
		if err := part(s, next); err != nil {
			return nil, err
		}
	}
	next.after = p.state
	return next, nil
}

func (p *planned) invalid(format string, args ...any) error {
	return &InvalidSaveError{Repo: p.log.repo, What: fmt.Sprintf(format, args...)}
}

func (p *planned) install(s *Store, next *step) error {
	at := next.save.Install
	if at == nil {
		if !p.state.exists {
			p.state.exists = true
			p.state.head.generation = s.takeGeneration()
		}
		return nil
	}
	index := at.GetIndex()
	if index == 0 {
		return p.invalid("install at index 0")
	}
	if p.state.hard != nil {
		if index < p.state.hard.GetCommit() {
			return p.invalid("install at %d, which is behind commit index %d", index, p.state.hard.GetCommit())
		}
		// Raft refuses to start with a commit index before its log.
		p.state.hard = proto.Clone(p.state.hard).(*pb.HardState)
		p.state.hard.Commit = new(index)
	}
	p.state.exists = true
	p.state.head = head{generation: s.takeGeneration(), index: index, term: at.GetTerm()}
	p.state.last, p.state.lastTerm = index, at.GetTerm()
	p.state.conf = &pb.ConfState{}
	if at.GetConfState() != nil {
		p.state.conf = proto.Clone(at.GetConfState()).(*pb.ConfState)
	}
	p.entries = nil
	return nil
}

func (p *planned) append(s *Store, next *step) error {
	entries := next.save.Entries
	for len(entries) > 0 && entries[0].GetIndex() <= p.state.head.index {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return nil
	}
	first := entries[0].GetIndex()
	if first > p.state.last+1 {
		return p.invalid("entries from %d on leave a gap after %d", first, p.state.last)
	}
	if p.state.hard != nil && first <= p.state.hard.GetCommit() {
		return p.invalid("entries from %d on would replace committed ones, up to %d", first, p.state.hard.GetCommit())
	}
	term, err := p.termOf(s, first-1)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if want := first + uint64(i); e.GetIndex() != want {
			return p.invalid("entry %d stands where %d should", e.GetIndex(), want)
		}
		if e.GetTerm() < term {
			return p.invalid("entry %d has term %d, the one before it %d", e.GetIndex(), e.GetTerm(), term)
		}
		term = e.GetTerm()
	}
	next.entries = entries
	p.entries = append(p.entries, entries...)
	p.state.last, p.state.lastTerm = first+uint64(len(entries))-1, term
	return nil
}

// termOf is the term of a stored entry, as of this point of the turn.
func (p *planned) termOf(s *Store, index uint64) (uint64, error) {
	switch index {
	case p.state.head.index:
		return p.state.head.term, nil
	case p.state.last:
		return p.state.lastTerm, nil
	}
	for i := len(p.entries) - 1; i >= 0; i-- {
		if p.entries[i].GetIndex() == index {
			return p.entries[i].GetTerm(), nil
		}
	}
	return p.log.Term(index) // not of this turn, so it is as it was
}

func (p *planned) setHardState(_ *Store, next *step) error {
	hs := next.save.HardState
	if hs == nil {
		return nil
	}
	commit := hs.GetCommit()
	if commit > p.state.last {
		return p.invalid("commit index %d beyond the last entry, %d", commit, p.state.last)
	}
	if commit < p.state.head.index {
		return p.invalid("commit index %d before the log, which begins after %d", commit, p.state.head.index)
	}
	if old := p.state.hard; old != nil && (hs.GetTerm() < old.GetTerm() || commit < old.GetCommit()) {
		return p.invalid("hard state goes back from term %d, commit index %d to %d, %d",
			old.GetTerm(), old.GetCommit(), hs.GetTerm(), commit)
	}
	p.state.hard = proto.Clone(hs).(*pb.HardState)
	return nil
}

func (p *planned) setConf(_ *Store, next *step) error {
	if next.save.Conf != nil {
		p.state.conf = proto.Clone(next.save.Conf).(*pb.ConfState)
	}
	return nil
}

func (p *planned) compact(s *Store, next *step) error {
	index := next.save.CompactTo
	if index <= p.state.head.index {
		return nil
	}
	if index > p.state.last {
		return p.invalid("compact to %d, beyond the last entry, %d", index, p.state.last)
	}
	if p.state.hard != nil && index > p.state.hard.GetCommit() {
		return p.invalid("compact to %d, beyond commit index %d", index, p.state.hard.GetCommit())
	}
	term, err := p.termOf(s, index)
	if err != nil {
		return err
	}
	p.state.head.index, p.state.head.term = index, term
	return nil
}

// takeGeneration is for those who hold saving.
func (s *Store) takeGeneration() generation {
	g := s.nextGeneration
	s.nextGeneration++
	return g
}
