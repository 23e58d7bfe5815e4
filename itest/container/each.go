package container

import (
	"errors"
	"sync"
)

// each does something for every item at once, and returns all errors.
func each[T any](items []T, do func(i int) error) error {
	errs := make([]error, len(items))
	var all sync.WaitGroup
	for i := range items {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}
