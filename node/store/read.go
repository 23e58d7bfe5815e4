package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
)

// readAttempts bounds how often a value that badger can't produce is looked up
// again: it may have moved the value between the look-up and the read.
const readAttempts = 3

// read gives the body of key's value, which belongs to the caller.
func (s *Store) read(key []byte) (body []byte, ok bool, err error) {
	for range readAttempts {
		var value []byte
		err = s.db.View(func(txn *badger.Txn) error {
			item, err := txn.Get(key)
			if err != nil {
				return err
			}
			value, err = item.ValueCopy(nil)
			return err
		})
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			return nil, false, nil
		case err != nil:
			return nil, false, fmt.Errorf("read key %.64x: %w", key, err)
		}
		if body, err = unseal(key, value); err == nil {
			return body, true, nil
		}
	}
	return nil, false, err
}

// errStop ends a scan early, without an error.
var errStop = errors.New("stop")

// scan calls f with all keys that begin with prefix, in order. Both arguments
// belong to f.
func (s *Store) scan(prefix []byte, f func(key, body []byte) error) error {
	return s.scanFrom(prefix, prefix, f)
}

// scanFrom is scan from a key on.
func (s *Store) scanFrom(prefix, from []byte, f func(key, body []byte) error) error {
	return s.db.View(func(txn *badger.Txn) error { return scanIn(txn, prefix, from, f) })
}

func scanIn(txn *badger.Txn, prefix, from []byte, f func(key, body []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix})
	defer it.Close()
	for it.Seek(from); it.Valid(); it.Next() {
		key := it.Item().KeyCopy(nil)
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return fmt.Errorf("read key %.64x: %w", key, err)
		}
		body, err := unseal(key, value)
		if err != nil {
			return err
		}
		switch err := f(key, body); {
		case errors.Is(err, errStop):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// lastKey is the highest key that begins with prefix, nil when there is none.
func (s *Store) lastKey(prefix []byte) ([]byte, error) {
	var last []byte
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: prefix, Reverse: true})
		defer it.Close()
		// Backwards, a seek finds the key itself or the one before it.
		it.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 16)...))
		if it.Valid() {
			last = it.Item().KeyCopy(nil)
		}
		return nil
	})
	return last, err
}
