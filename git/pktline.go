package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// PktKind tells apart the four kinds of pkt-line.
type PktKind uint8

// The kinds of pkt-line.
const (
	PktData        PktKind = iota
	PktFlush               // 0000: the end of a list, or of a request
	PktDelim               // 0001: between the sections of one
	PktResponseEnd         // 0002: only where HTTP carries the protocol
)

// Limits of the format.
const (
	pktHeaderBytes = 4
	PktPayloadMax  = 65516
)

// ErrPkt is the error for bytes that are no pkt-line.
var ErrPkt = errors.New("not a pkt-line")

// Pkt is one pkt-line.
type Pkt struct {
	Kind PktKind
	// Raw is the line as it was read, header included, so that it can be passed
	// on unchanged. It is valid until the next call of Next.
	Raw []byte
}

// Payload is what the line carries; nothing unless Kind is PktData.
func (p Pkt) Payload() []byte { return p.Raw[pktHeaderBytes:] }

// PktReader cuts a stream into pkt-lines.
type PktReader struct {
	buf     *bufio.Reader
	pending int // bytes of the last Pkt, discarded when the next is read
}

// NewPktReader reads from r, and may read ahead.
func NewPktReader(r io.Reader) *PktReader {
	return &PktReader{buf: bufio.NewReaderSize(r, 2*(pktHeaderBytes+PktPayloadMax))}
}

// Next returns io.EOF when the stream ended between two lines, and
// io.ErrUnexpectedEOF when it ended inside one.
func (r *PktReader) Next() (Pkt, error) {
	r.skip()
	header, err := r.buf.Peek(pktHeaderBytes)
	if err != nil {
		if errors.Is(err, io.EOF) && len(header) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return Pkt{}, err
	}
	kind, size, err := parsePktHeader(header)
	if err != nil {
		return Pkt{}, err
	}
	raw, err := r.buf.Peek(size)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Pkt{}, err
	}
	r.pending = size
	return Pkt{Kind: kind, Raw: raw}, nil
}

// ready says that Next would not have to wait for the stream.
func (r *PktReader) ready() bool {
	left := r.buf.Buffered() - r.pending
	if left < pktHeaderBytes {
		return false
	}
	all, _ := r.buf.Peek(r.pending + pktHeaderBytes)
	_, size, err := parsePktHeader(all[r.pending:])
	return err != nil || left >= size
}

// rest is the stream behind the last Pkt, which it invalidates.
func (r *PktReader) rest() io.Reader {
	r.skip()
	return r.buf
}

func (r *PktReader) skip() {
	_, _ = r.buf.Discard(r.pending) // it is in the buffer
	r.pending = 0
}

// parsePktHeader says how long the whole line is.
func parsePktHeader(header []byte) (PktKind, int, error) {
	n := 0
	for _, c := range header[:pktHeaderBytes] {
		d, ok := hexDigit(c)
		if !ok {
			return 0, 0, fmt.Errorf("%w: %q", ErrPkt, header[:pktHeaderBytes])
		}
		n = n<<4 | d
	}
	switch {
	case n < 3:
		return PktKind(n) + PktFlush, pktHeaderBytes, nil
	case n < pktHeaderBytes || n > pktHeaderBytes+PktPayloadMax:
		return 0, 0, fmt.Errorf("%w: length %d", ErrPkt, n)
	}
	return PktData, n, nil
}

func hexDigit(c byte) (int, bool) {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0'), true
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10, true
	}
	return 0, false
}

// FlushPkt is a line of its kind.
const FlushPkt = "0000"

// AppendPkt appends a data line to dst. It panics if payload exceeds
// PktPayloadMax: cutting is up to who knows what the bytes mean.
func AppendPkt(dst, payload []byte) []byte {
	if len(payload) > PktPayloadMax {
		panic(fmt.Sprintf("pkt-line of %d bytes", len(payload)))
	}
	return append(fmt.Appendf(dst, "%04x", len(payload)+pktHeaderBytes), payload...)
}
