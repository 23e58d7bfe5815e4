package gitd

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"peer/git"
)

const packHeaderBytes = 12 // "PACK", version, number of objects

var errNoPack = errors.New("what follows the commands is no pack")

// readPack takes in the pack that ends a push, and says how many objects it
// announces.
//
// Nothing says how long a pack is, and its end is no end of the connection: the
// client waits for the report. But a client sends nothing behind the pack, so the
// pack ends with what has arrived, and its last bytes are the hash of all others.
// That is looked at after each read, which is much cheaper than to inflate every
// object. A client that breaks the rule waits for ever, or until it times out;
// whether the pack is a good one is for the group to find out.
func readPack(r io.Reader, to *spool, format git.Format, bytesMax int64) (objects uint32, err error) {
	end := newPackEnd(format)
	buf := make([]byte, tunnelBytes)
	for !end.reached() {
		n, err := r.Read(buf)
		end.add(buf[:n])
		if end.total > bytesMax {
			return 0, fmt.Errorf("pack: %w: %d bytes", errTooMuch, bytesMax)
		}
		if _, werr := to.Write(buf[:n]); werr != nil {
			return 0, fmt.Errorf("pack: %w", werr)
		}
		if err != nil && !end.reached() {
			return 0, fmt.Errorf("pack: %w", noEOF(err))
		}
		if end.total >= packHeaderBytes && !bytes.Equal(end.header[:4], []byte("PACK")) {
			return 0, errNoPack
		}
	}
	return binary.BigEndian.Uint32(end.header[8:]), nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// packEnd recognises the end of a pack.
type packEnd struct {
	total  int64
	header []byte // the first packHeaderBytes
	sum    hash.Hash
	tail   []byte // the last bytes, as many as a hash has; all before them are in sum
}

func newPackEnd(format git.Format) *packEnd {
	if format == git.SHA256 {
		return &packEnd{sum: sha256.New()}
	}
	return &packEnd{sum: sha1.New()}
}

func (p *packEnd) add(data []byte) {
	p.total += int64(len(data))
	p.header = append(p.header, data[:min(len(data), packHeaderBytes-len(p.header))]...)
	size := p.sum.Size()
	if len(data) >= size {
		p.sum.Write(p.tail)
		p.sum.Write(data[:len(data)-size])
		p.tail = append(p.tail[:0], data[len(data)-size:]...)
		return
	}
	p.tail = append(p.tail, data...)
	if extra := len(p.tail) - size; extra > 0 {
		p.sum.Write(p.tail[:extra])
		p.tail = p.tail[:copy(p.tail, p.tail[extra:])]
	}
}

func (p *packEnd) reached() bool {
	return p.total >= packHeaderBytes+int64(p.sum.Size()) && bytes.Equal(p.tail, p.sum.Sum(nil))
}
