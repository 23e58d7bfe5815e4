package gitd

import (
	"fmt"
	"io"
	"strconv"

	"peer/git"
)

const pktHeaderBytes = 4

// readPkt reads one pkt-line into buf, and not a byte more. It returns what the
// line carries, nil at a flush.
func readPkt(r io.Reader, buf []byte) ([]byte, error) {
	header := buf[:pktHeaderBytes]
	if _, err := io.ReadFull(r, header); err != nil {
		return nil, err
	}
	size, err := strconv.ParseUint(string(header), 16, 16)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %q", git.ErrPkt, header)
	case size == 0:
		return nil, nil
	case size < pktHeaderBytes || size > uint64(len(buf)):
		return nil, fmt.Errorf("%w: %d bytes, want up to %d", git.ErrPkt, size, len(buf))
	}
	line := buf[pktHeaderBytes:size]
	if _, err := io.ReadFull(r, line); err != nil {
		return nil, noEOF(err)
	}
	return line, nil
}
