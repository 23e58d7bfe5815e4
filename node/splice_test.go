package node_test

import (
	"os"
	"testing"
	"time"

	"peer/node"
	"peer/wire"
)

// narrowStream lets a piece pass between one deadline and the next, as a slow link does.
type narrowStream struct {
	wire.Stream
	written, room int
}

func (s *narrowStream) SetDeadline(time.Time) error {
	s.room = wire.ChunkBytes
	return nil
}

func (s *narrowStream) Write(p []byte) (int, error) {
	fits := min(len(p), s.room)
	s.written, s.room = s.written+fits, s.room-fits
	if fits < len(p) {
		return fits, os.ErrDeadlineExceeded
	}
	return fits, nil
}

// A snapshot on a slow link takes longer than one deadline, and gets through.
func TestLargeFrameOnASlowLink(t *testing.T) {
	t.Parallel()
	link := &narrowStream{}
	m := &wire.RaftBatch{Messages: []*wire.RaftMessage{{Message: make([]byte, 1<<20)}}}
	if err := wire.WriteFrame(node.Moving(link), m); err != nil || link.written < 1<<20 {
		t.Errorf("%d bytes got through: %v", link.written, err)
	}
}
