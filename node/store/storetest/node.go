package storetest

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"peer/identity"
	"peer/node/store"
)

// PutSeat implements the same contract as [store.Store.PutSeat].
func (s *Store) PutSeat(id identity.RepoID, nonce []byte, at time.Time) error {
	if len(nonce) > store.NonceBytesMax {
		return &store.TooLargeError{Repo: id, What: "bytes in a nonce", Size: len(nonce), Max: store.NonceBytesMax}
	}
	return s.change(func(d *disk) { d.seats[id] = seat{bytes.Clone(nonce), at} })
}

// Seat gives the nonce of the seat, if there is one.
func (s *Store) Seat(id identity.RepoID) (nonce []byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, store.ErrClosed
	}
	found, ok := s.disk.seats[id]
	return bytes.Clone(found.nonce), ok, nil
}

// DropSeat forgets the seat.
func (s *Store) DropSeat(id identity.RepoID) error {
	return s.change(func(d *disk) { delete(d.seats, id) })
}

// Seats calls f with all seats, in order of their repositories.
func (s *Store) Seats(f func(id identity.RepoID, nonce []byte, at time.Time) error) error {
	s.mu.Lock()
	seats, closed := maps.Clone(s.disk.seats), s.closed
	s.mu.Unlock()
	if closed {
		return store.ErrClosed
	}
	ids := slices.SortedFunc(maps.Keys(seats), func(a, b identity.RepoID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if err := f(id, bytes.Clone(seats[id].nonce), seats[id].at); err != nil {
			return err
		}
	}
	return nil
}

// Get gives the node's value of key.
func (s *Store) Get(key string) (value []byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, false, store.ErrClosed
	}
	value, ok = s.disk.node[key]
	return bytes.Clone(value), ok, nil
}

// Put sets the node's value of key.
func (s *Store) Put(key string, value []byte) error {
	if len(key) > store.KeyBytesMax || len(value) > store.ValueBytesMax {
		return errors.New("put: key or value too large")
	}
	return s.change(func(d *disk) { d.node[key] = bytes.Clone(value) })
}

// Delete removes key, if it is there.
func (s *Store) Delete(key string) error {
	return s.change(func(d *disk) { delete(d.node, key) })
}

// Scan calls f with all keys that begin with prefix, in order.
func (s *Store) Scan(prefix string, f func(key string, value []byte) error) error {
	s.mu.Lock()
	node, closed := maps.Clone(s.disk.node), s.closed
	s.mu.Unlock()
	if closed {
		return store.ErrClosed
	}
	return inOrder(node, prefix, f)
}

func inOrder(m map[string][]byte, prefix string, f func(key string, value []byte) error) error {
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := f(key, bytes.Clone(m[key])); err != nil {
			return err
		}
	}
	return nil
}
