package storetest

import (
	"bytes"
	"slices"

	pb "go.etcd.io/raft/v3/raftpb"

	"peer/node/store"
	"peer/replica"
)

// save applies one Save to d, and adds to u what takes it back. After an error the
// caller runs u. It is written to be obvious: the real store is held against it.
func (d *disk) save(save *replica.Save, u *undo) error {
	if err := store.CheckLimits(save); err != nil {
		return err
	}
	invalid := func(what string) error { return &store.InvalidSaveError{Repo: save.Repo, What: what} }
	r := d.repos[save.Repo]
	if r == nil {
		r = &repo{table: map[string][]byte{}}
		d.repos[save.Repo] = r
		u.add(func() { delete(d.repos, save.Repo) })
	} else {
		old := *r
		u.add(func() { *r = old })
	}
	if at := save.Install; at != nil {
		if at.GetIndex() == 0 || at.GetIndex() < r.hard.GetCommit() {
			return invalid("install behind the commit index")
		}
		r.install(at)
	}
	if what := r.append(save.Entries); what != "" {
		return invalid(what)
	}
	for _, c := range save.Table {
		r.change(c, u)
	}
	if hs := save.HardState; hs != nil {
		back := hs.GetTerm() < r.hard.GetTerm() || hs.GetCommit() < r.hard.GetCommit()
		if back || hs.GetCommit() < r.index || hs.GetCommit() > r.last() {
			return invalid("hard state")
		}
		r.hard = cloneHard(hs)
	}
	if save.Conf != nil {
		r.conf = cloneConf(save.Conf)
	}
	if to := save.CompactTo; to > r.index {
		if to > r.last() || r.hard != nil && to > r.hard.GetCommit() {
			return invalid("compact beyond the commit index")
		}
		n := to - r.index
		r.term, r.index, r.entries = r.entries[n-1].GetTerm(), to, r.entries[n:]
	}
	return nil
}

func (r *repo) change(c replica.Change, u *undo) {
	table := r.table
	if old, had := table[c.Key]; had {
		u.add(func() { table[c.Key] = old })
	} else {
		u.add(func() { delete(table, c.Key) })
	}
	if c.Value == nil {
		delete(table, c.Key)
	} else {
		table[c.Key] = bytes.Clone(c.Value)
	}
}

func (r *repo) last() uint64 { return r.index + uint64(len(r.entries)) }

func (r *repo) termOf(index uint64) uint64 {
	if index == r.index {
		return r.term
	}
	return r.entries[index-r.index-1].GetTerm()
}

func (r *repo) install(at *pb.SnapshotMetadata) {
	r.index, r.term, r.entries = at.GetIndex(), at.GetTerm(), nil
	r.table = map[string][]byte{}
	r.conf = &pb.ConfState{}
	if at.GetConfState() != nil {
		r.conf = cloneConf(at.GetConfState())
	}
	if r.hard != nil {
		r.hard = cloneHard(r.hard)
		r.hard.Commit = new(at.GetIndex())
	}
}

// append says what is wrong with the entries, if anything is.
func (r *repo) append(entries []*pb.Entry) (wrong string) {
	for len(entries) > 0 && entries[0].GetIndex() <= r.index {
		entries = entries[1:]
	}
	if len(entries) == 0 {
		return ""
	}
	first := entries[0].GetIndex()
	if first > r.last()+1 {
		return "gap"
	}
	if r.hard != nil && first <= r.hard.GetCommit() {
		return "replaces committed entries"
	}
	term := r.termOf(first - 1)
	for i, e := range entries {
		if e.GetIndex() != first+uint64(i) || e.GetTerm() < term {
			return "entries out of order"
		}
		term = e.GetTerm()
	}
	keep := first - r.index - 1
	if keep < uint64(len(r.entries)) {
		r.entries = slices.Clone(r.entries[:keep]) // or what replaces entries could not be taken back
	}
	r.entries = append(r.entries, entries...)
	return ""
}
