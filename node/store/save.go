package store

import (
	"fmt"

	"peer/replica"
)

// Save makes one turn durable, and returns when it is. The order within a Save is
// Install, Entries, Table, HardState and Conf, CompactTo; the package comment says
// what is left of a turn that was cut by a crash.
//
// The store keeps the entries that it is given: they must not change any more.
//
// After [*TooLargeError] and [*InvalidSaveError] nothing was written and the store
// goes on. Any other error is final.
func (s *Store) Save(turn []replica.Save) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	s.saving.Lock()
	defer s.saving.Unlock()
	if err := s.trip.err(); err != nil {
		return err
	}
	steps, err := s.plan(turn)
	if err != nil {
		return err
	}
	w := turnWriter{store: s}
	for _, next := range steps {
		if err := w.write(next); err != nil {
			return fmt.Errorf("repository %s: save: %w", next.save.Repo.Short(), err)
		}
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	s.publish(steps)
	return nil
}

// publish lets readers see what is durable.
func (s *Store) publish(steps []*step) {
	s.mu.Lock()
	garbage := false
	for _, next := range steps {
		l := next.log
		l.state = next.after
		s.heads[l.repo] = next.after.head
		if next.after.head.generation != next.before.head.generation {
			s.cache.drop(l)
			s.trimmed[next.after.head.generation] = next.startsAt()
			delete(s.trimmed, next.before.head.generation)
			garbage = garbage || next.before.exists
		}
		if len(next.entries) > 0 {
			s.cache.extend(l, next.entries)
		}
		if next.after.head.index != next.before.head.index {
			s.cache.forget(l, next.after.head.index)
			garbage = true
		}
	}
	s.mu.Unlock()
	if garbage {
		s.kickSweeper()
	}
}

// startsAt is where the generation that the step begins starts.
func (next *step) startsAt() uint64 { return next.save.Install.GetIndex() }

// A turnWriter packs the groups of writes that must stay together into as few
// transactions as possible, in order.
type turnWriter struct {
	store *Store
	ready batch
	group batch // scratch
}

func (w *turnWriter) flush() error {
	err := w.store.commit(&w.ready)
	w.ready.reset()
	return err
}

// add ends the group: all of it goes into one transaction.
func (w *turnWriter) add() error {
	if !w.ready.fits(&w.group, w.store.db) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.ready.append(&w.group)
	w.group.reset()
	return nil
}

func (w *turnWriter) write(next *step) error {
	if err := w.begin(next); err != nil {
		return err
	}
	if next.save.Install == nil {
		if err := w.truncate(next); err != nil {
			return err
		}
	} else if err := w.newTable(next); err != nil {
		return err
	}
	for _, e := range next.entries {
		key := entryKey(next.after.head.generation, e.GetIndex())
		w.group.set(key, entryHeader(e), e.GetData())
		if err := w.add(); err != nil {
			return err
		}
	}
	return w.finish(next)
}

// begin makes sure that what is written under a new generation is never lost
// track of: either it is the log's from the start, or named as garbage.
func (w *turnWriter) begin(next *step) error {
	g := next.after.head.generation
	switch {
	case next.save.Install != nil:
		w.group.set(generationKey(prefixGarbage, g))
	case !next.before.exists:
		w.group.set(repoKey(prefixHead, next.save.Repo), head{generation: g}.encode())
	default:
		return nil
	}
	return w.add()
}

// truncate deletes the entries that new ones replace or outdate. It goes down from
// the end, so that wherever a crash cuts it the log is whole, only shorter.
func (w *turnWriter) truncate(next *step) error {
	if len(next.entries) == 0 {
		return nil
	}
	first := next.entries[0].GetIndex()
	for index := next.before.last; index >= first; index-- {
		w.group.delete(entryKey(next.before.head.generation, index))
		if err := w.add(); err != nil {
			return err
		}
	}
	return nil
}

// newTable writes a whole table, in as many transactions as it takes. Nobody sees
// it before the head names its generation.
func (w *turnWriter) newTable(next *step) error {
	for _, c := range next.save.Table {
		w.change(next.after.head.generation, c)
		if err := w.add(); err != nil {
			return err
		}
	}
	return nil
}

// change adds one change of a table to the group. A deletion in a new table is
// written as well: it may follow a change of the same key.
func (w *turnWriter) change(g generation, c replica.Change) {
	if key := tableKey(g, c.Key); c.Value == nil {
		w.group.delete(key)
	} else {
		w.group.set(key, c.Value)
	}
}

// finish writes what must be there together.
func (w *turnWriter) finish(next *step) error {
	repo, g := next.save.Repo, next.after.head.generation
	if next.save.Install == nil {
		for _, c := range next.save.Table {
			w.change(g, c)
		}
	} else {
		w.group.delete(generationKey(prefixGarbage, g))
		w.group.set(generationKey(prefixTrimmed, g), encodeUint64(next.startsAt()))
		if next.before.exists {
			w.group.set(generationKey(prefixGarbage, next.before.head.generation))
		}
	}
	if next.after.hard != next.before.hard {
		w.group.set(repoKey(prefixHard, repo), encodeHardState(next.after.hard))
	}
	if next.after.conf != next.before.conf {
		conf, err := encodeConfState(next.after.conf)
		if err != nil {
			return err
		}
		w.group.set(repoKey(prefixConf, repo), conf)
	}
	if next.after.head != next.before.head {
		w.group.set(repoKey(prefixHead, repo), next.after.head.encode())
	}
	return w.add()
}
