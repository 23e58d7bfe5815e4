package store

import (
	"errors"
	"fmt"

	"peer/identity"
)

// ErrClosed is what a closed store answers.
var ErrClosed = errors.New("store is closed")

// A PoisonedError is what every write gets after one failed. What is on disk is
// then unknown, so trying again and acknowledging would be a lie.
type PoisonedError struct{ First error }

func (e *PoisonedError) Error() string {
	return fmt.Sprintf("writing to the store failed, and it takes no more writes: %v", e.First)
}

func (e *PoisonedError) Unwrap() error { return e.First }

// A CorruptError says that stored bytes are not what was written.
type CorruptError struct {
	Key  []byte
	What string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("store is damaged at key %.64x: %s", e.Key, e.What)
}

func corrupt(key []byte, what string) error { return &CorruptError{Key: key, What: what} }

// A TooLargeError says that something is larger than the store takes. Nothing was written.
type TooLargeError struct {
	Repo identity.RepoID
	What string
	Size int
	Max  int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("repository %s: %s: %d, the limit is %d; nothing was written", e.Repo.Short(), e.What, e.Size, e.Max)
}

// An InvalidSaveError says that a Save contradicts the log that it is for, for
// example by leaving a gap. It is a mistake of the caller; nothing was written.
type InvalidSaveError struct {
	Repo identity.RepoID
	What string
}

func (e *InvalidSaveError) Error() string {
	return fmt.Sprintf("repository %s: invalid save: %s; nothing was written", e.Repo.Short(), e.What)
}

// A LockedError says that another process has the directory.
type LockedError struct {
	Dir string
	PID string // what the lock file says; empty when it can't be read
}

func (e *LockedError) Error() string {
	by := "another process"
	if e.PID != "" {
		by += " (" + e.PID + ")"
	}
	return fmt.Sprintf("%s is in use by %s: stop that node or choose another home; nothing was changed", e.Dir, by)
}

// A FormatError says that a newer binary wrote the store.
type FormatError struct{ Found, Known uint64 }

func (e *FormatError) Error() string {
	return fmt.Sprintf("this home was written by a newer peer (format %d, this binary knows %d): "+
		"install that version; nothing was changed", e.Found, e.Known)
}

// A DiskFullError says that too little room is left to go on writing safely.
type DiskFullError struct {
	Dir       string
	FreeBytes uint64
	MinBytes  uint64
}

func (e *DiskFullError) Error() string {
	return fmt.Sprintf("%s has %d MB left and needs %d: free some and start again; nothing was written",
		e.Dir, e.FreeBytes>>20, e.MinBytes>>20)
}

// Refused is the repository that the Save was for. The store goes on.
func (e *TooLargeError) Refused() identity.RepoID { return e.Repo }

// Refused is the repository that the Save was for. The store goes on.
func (e *InvalidSaveError) Refused() identity.RepoID { return e.Repo }
