package gitd

import (
	"bytes"
	"io"
	"os"
)

// keepError says that this machine could not take what a client sent.
type keepError struct{ error }

func (e *keepError) Error() string { return "keep the pack: " + e.error.Error() }
func (e *keepError) Unwrap() error { return e.error }

// spool holds a pack while its transaction is delivered, which may take several
// tries: small ones in memory, others in a file without a name.
type spool struct {
	dir  string
	buf  []byte
	file *os.File
	size int64
}

func (s *spool) Write(p []byte) (int, error) {
	s.size += int64(len(p))
	if s.file == nil && s.size <= spoolMemoryBytes {
		s.buf = append(s.buf, p...)
		return len(p), nil
	}
	if s.file == nil {
		file, err := os.CreateTemp(s.dir, ".push-*")
		if err != nil {
			return 0, &keepError{err}
		}
		_ = os.Remove(file.Name()) // it lives until it is closed
		s.file = file
		if _, err := file.Write(s.buf); err != nil {
			return 0, &keepError{err}
		}
		s.buf = nil
	}
	n, err := s.file.Write(p)
	if err != nil {
		err = &keepError{err}
	}
	return n, err
}

// open reads from the beginning. The readers end with the spool.
func (s *spool) open() io.ReadCloser {
	if s.file == nil {
		return io.NopCloser(bytes.NewReader(s.buf))
	}
	return io.NopCloser(io.NewSectionReader(s.file, 0, s.size))
}

func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
