package git

import (
	"bytes"
	"io"
	"os"
)

// spoolMemoryBytes is what one listing may hold in memory: some 60,000 refs.
const spoolMemoryBytes = 4 << 20

// spool takes in bytes faster than their reader wants them, in memory first and
// then in a file without a name.
type spool struct {
	buf  bytes.Buffer
	file *os.File
}

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) <= spoolMemoryBytes {
		return s.buf.Write(p)
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return 0, err
		}
	}
	return s.file.Write(p)
}

func (s *spool) spill() error {
	f, err := os.CreateTemp("", "peer-listing-")
	if err != nil {
		return err
	}
	s.file = f
	_ = os.Remove(f.Name()) // it lives until it is closed
	_, err = f.Write(s.buf.Bytes())
	s.buf = bytes.Buffer{}
	return err
}

// WriteTo writes all that was taken in.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	if s.file == nil {
		return s.buf.WriteTo(w)
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(w, s.file)
}

func (s *spool) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
