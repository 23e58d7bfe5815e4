package wire

import (
	"encoding/binary"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"
)

// Largest frames, in bytes. Each stands beside the protocol that it bounds.
const (
	HelloBytesMax    = 4 << 10  // OpenSession
	RequestBytesMax  = 8 << 20  // GroupRequest, PushRequest: 2,000 refs are about 300 KB
	ToClientBytesMax = 4 << 20  // a RefList is cut into pieces; 10,000 refusals fit
	ChunkBytes       = 64 << 10 // what senders put into one chunk of a pack
	ChunkBytesMax    = 1 << 20
	RaftBytesMax     = 16 << 20 // RaftBatch
	SnapshotBytesMax = 256 << 20
	RecordBytesMax   = 64 << 10 // HintRecord: what the DHT and gossip carry
	KnockBytesMax    = 64       // Knock
	AdmitBytesMax    = 64 << 10 // Admission, and an Invitation
)

// A TooLargeError says that a frame's length exceeds what its protocol allows.
type TooLargeError struct{ Size, Max int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("frame of %d bytes, the limit is %d", e.Size, e.Max)
}

const headerBytes = 4

// WriteFrame writes m as one frame, in one write.
func WriteFrame(w io.Writer, m proto.Message) error {
	size := proto.Size(m)
	buf := make([]byte, headerBytes, headerBytes+size)
	buf, err := proto.MarshalOptions{UseCachedSize: true}.MarshalAppend(buf, m)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(buf, uint32(len(buf)-headerBytes))
	_, err = w.Write(buf)
	return err
}

// ReadFrame reads one frame of at most max bytes into m. It returns io.EOF only
// when the stream ended before the frame began.
func ReadFrame(r io.Reader, m proto.Message, max int) error {
	raw, err := ReadChunk(r, max)
	if err != nil {
		return err
	}
	if err := proto.Unmarshal(raw, m); err != nil {
		return fmt.Errorf("frame: %w", err)
	}
	return nil
}

// WriteChunk writes raw bytes as one frame. An empty chunk ends a sequence.
func WriteChunk(w io.Writer, data []byte) error {
	buf := make([]byte, headerBytes, headerBytes+len(data))
	binary.BigEndian.PutUint32(buf, uint32(len(data)))
	_, err := w.Write(append(buf, data...))
	return err
}

// ReadChunk reads one frame of at most max bytes.
func ReadChunk(r io.Reader, max int) ([]byte, error) {
	var header [headerBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return nil, err
	}
	size := int64(binary.BigEndian.Uint32(header[:]))
	if size > int64(max) {
		return nil, &TooLargeError{Size: int(size), Max: max}
	}
	raw := make([]byte, min(size, ChunkBytes))
	for read := 0; ; {
		n, err := io.ReadFull(r, raw[read:])
		if err == io.EOF && size > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if read += n; int64(read) == size {
			return raw, nil
		}
		// Memory follows the bytes: a header alone costs its sender four of them.
		raw = append(raw, make([]byte, min(size-int64(read), int64(read)))...)
	}
}
