package store

import (
	"fmt"
)

// The node's own values: addresses it saw, caches. They have nothing to do with
// those of a table.

// Get gives the node's value of key, which belongs to the caller.
func (s *Store) Get(key string) (value []byte, ok bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, false, err
	}
	defer leave()
	return s.read(nodeKey(key))
}

// Put makes value durable under key.
func (s *Store) Put(key string, value []byte) error {
	if len(key) > KeyBytesMax || len(value) > ValueBytesMax {
		return fmt.Errorf("put %.60q: key of %d bytes (limit %d), value of %d (limit %d)",
			key, len(key), KeyBytesMax, len(value), ValueBytesMax)
	}
	return s.update(func(b *batch) { b.set(nodeKey(key), value) })
}

// Delete removes key durably, if it is there.
func (s *Store) Delete(key string) error {
	return s.update(func(b *batch) { b.delete(nodeKey(key)) })
}

// Scan calls f with all keys that begin with prefix, in order. The value belongs to f.
func (s *Store) Scan(prefix string, f func(key string, value []byte) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.scan(nodeKey(prefix), func(key, body []byte) error {
		return f(string(key[1:]), body)
	})
}

// update writes one small batch.
func (s *Store) update(fill func(*batch)) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	var b batch
	fill(&b)
	return s.commit(&b)
}
