package store

import (
	"fmt"
	"time"

	"peer/identity"
)

// PutSeat makes durable that this node was given a seat of repo's group. A node
// whose store lacks the nonce was wiped, or restored from a backup.
func (s *Store) PutSeat(repo identity.RepoID, nonce []byte, at time.Time) error {
	if len(nonce) > NonceBytesMax {
		return &TooLargeError{Repo: repo, What: "bytes in a nonce", Size: len(nonce), Max: NonceBytesMax}
	}
	return s.update(func(b *batch) {
		b.set(repoKey(prefixSeat, repo), seat{nonce, at}.encode())
	})
}

// Seat gives the nonce of the seat, if there is one.
func (s *Store) Seat(repo identity.RepoID) (nonce []byte, ok bool, err error) {
	leave, err := s.enter()
	if err != nil {
		return nil, false, err
	}
	defer leave()
	key := repoKey(prefixSeat, repo)
	body, ok, err := s.read(key)
	if err != nil || !ok {
		return nil, false, err
	}
	found, err := decodeSeat(key, body)
	if err != nil {
		return nil, false, fmt.Errorf("repository %s: %w", repo.Short(), err)
	}
	return found.nonce, true, nil
}

// DropSeat forgets the seat durably.
func (s *Store) DropSeat(repo identity.RepoID) error {
	return s.update(func(b *batch) { b.delete(repoKey(prefixSeat, repo)) })
}

// Seats calls f with all seats, in order of their repositories.
func (s *Store) Seats(f func(repo identity.RepoID, nonce []byte, at time.Time) error) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	return s.scan([]byte{prefixSeat}, func(key, body []byte) error {
		repo, err := parseRepoKey(key)
		if err != nil {
			return err
		}
		found, err := decodeSeat(key, body)
		if err != nil {
			return err
		}
		return f(repo, found.nonce, found.at)
	})
}
