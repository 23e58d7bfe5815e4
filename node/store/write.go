package store

import (
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

const (
	valueThreshold = 1 << 10 // values from here on go to the value log
	keyOverhead    = 2 + 10  // what badger counts besides key and value
	pointerSize    = 12      // what badger counts for a value in the value log
	// batchRawBytesMax bounds values in the value log too, which badger doesn't:
	// all that one transaction brings goes into one file of it.
	batchRawBytesMax = 32 << 20
)

// A write sets a key, or deletes it when its value is nil.
type write struct{ key, value []byte }

// A batch becomes one transaction: all of it or nothing.
type batch struct {
	writes  []write
	counted int // bytes as badger counts them
	raw     int
}

func (b *batch) set(key []byte, parts ...[]byte) { b.add(write{key, seal(key, parts...)}) }

func (b *batch) delete(key []byte) { b.add(write{key: key}) }

func (b *batch) add(w write) {
	b.writes = append(b.writes, w)
	b.raw += len(w.key) + len(w.value)
	b.counted += len(w.key) + keyOverhead
	if len(w.value) < valueThreshold {
		b.counted += len(w.value)
	} else {
		b.counted += pointerSize
	}
}

func (b *batch) append(other *batch) {
	b.writes = append(b.writes, other.writes...)
	b.counted += other.counted
	b.raw += other.raw
}

func (b *batch) reset() { *b = batch{writes: b.writes[:0]} }

// fits says whether other can join b in one transaction of db.
func (b *batch) fits(other *batch, db *badger.DB) bool {
	const slack = 16 // badger adds an entry of its own, and compares with >=
	counted, count := b.counted+other.counted, len(b.writes)+len(other.writes)
	return int64(counted)+slack*keyOverhead < db.MaxBatchSize() &&
		int64(count)+slack < db.MaxBatchCount() &&
		(len(b.writes) == 0 || b.raw+other.raw <= batchRawBytesMax)
}

// commit makes b durable. Any failure poisons the store.
func (s *Store) commit(b *batch) error {
	if err := s.trip.err(); err != nil {
		return err
	}
	if len(b.writes) == 0 {
		return nil
	}
	if err := s.checkSpace(); err != nil {
		s.trip.trip(err)
		return err
	}
	err := s.beforeCommit(b)
	if err == nil {
		err = s.transact(b)
	}
	if err != nil {
		s.trip.trip(err)
		return err
	}
	// NB: last, because badger may only have logged that a sync failed.
	return s.trip.err()
}

func (s *Store) transact(b *batch) error {
	txn := s.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range b.writes {
		var err error
		if w.value == nil {
			err = txn.Delete(w.key)
		} else {
			err = txn.Set(w.key, w.value)
		}
		if err != nil {
			return fmt.Errorf("write key %.64x: %w", w.key, err)
		}
	}
	if err := txn.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return s.dir.sync()
}
