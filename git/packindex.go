package git

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
)

// A pack's index, version 2, begins with a magic and a fan-out table of 256
// counts; the sorted object IDs follow.
const (
	idxMagic       = "\377tOc\x00\x00\x00\x02"
	idxHeaderBytes = len(idxMagic) + 256*4
)

var errIndex = errors.New("not an index of version 2")

// idxCount is the number of objects in a pack.
func idxCount(path string) (uint32, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	n, err := parseIdxHeader(f)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func parseIdxHeader(r io.Reader) (uint32, error) {
	var header [idxHeaderBytes]byte
	if _, err := io.ReadFull(r, header[:]); err != nil || string(header[:len(idxMagic)]) != idxMagic {
		return 0, errIndex
	}
	return binary.BigEndian.Uint32(header[idxHeaderBytes-4:]), nil
}

// oidTable is the sorted raw IDs of a pack's objects, end to end.
type oidTable struct {
	raw []byte
	len int // of one ID
}

func readOIDTable(path string, oidLen int) (oidTable, error) {
	f, err := os.Open(path)
	if err != nil {
		return oidTable{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return oidTable{}, err
	}
	t, err := parseOIDTable(f, info.Size(), oidLen)
	if err != nil {
		return oidTable{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// parseOIDTable reads from the beginning of an index of the given size.
func parseOIDTable(r io.Reader, size int64, oidLen int) (oidTable, error) {
	n, err := parseIdxHeader(r)
	if err != nil {
		return oidTable{}, err
	}
	if int64(n)*int64(oidLen) > size {
		return oidTable{}, errIndex
	}
	t := oidTable{raw: make([]byte, int(n)*oidLen), len: oidLen}
	if _, err := io.ReadFull(r, t.raw); err != nil {
		return oidTable{}, errIndex
	}
	return t, nil
}

func (t oidTable) count() int { return len(t.raw) / t.len }

func (t oidTable) at(i int) []byte { return t.raw[i*t.len : (i+1)*t.len] }

func (t oidTable) has(oid []byte) bool {
	_, ok := t.find(oid)
	return ok
}

func (t oidTable) find(oid []byte) (int, bool) {
	i := sort.Search(t.count(), func(i int) bool { return bytes.Compare(t.at(i), oid) >= 0 })
	return i, i < t.count() && bytes.Equal(t.at(i), oid)
}
