package store

import (
	"errors"
	"fmt"
)

// Format is the version of the on-disk format that this package writes and reads.
const Format uint64 = 1

// checkFormat marks an empty store, and refuses what it doesn't know.
func (s *Store) checkFormat() error {
	body, ok, err := s.read(formatKey)
	if err != nil {
		return err
	}
	if !ok {
		first, err := s.lastKey(nil)
		if err != nil {
			return err
		}
		if first != nil {
			return errors.New("not a store of peer's: it has keys and no format version; nothing was changed")
		}
		var b batch
		b.set(formatKey, encodeUint64(Format))
		return s.commit(&b)
	}
	found, err := decodeUint64(formatKey, body)
	switch {
	case err != nil:
		return err
	case found > Format:
		return &FormatError{Found: found, Known: Format}
	case found < 1:
		return fmt.Errorf("format version %d never existed; nothing was changed", found)
	}
	return nil
}
