package cmd

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"peer/identity"
)

const (
	// provedDir is where a home remembers which refs it has checked.
	provedDir   = "proved"
	provedMagic = "peer proved 2\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// proved are the refs of one repository that were checked back to a signature, or that a
// majority of the voters vouched for, as the hashes of [replica.RefElement]. A ref that is
// still where it was then needs no second proof.
type proved struct {
	index    uint64 // what was set up to here is among them
	elements map[[sha256.Size]byte]bool
}

func provedPath(home string, genesis []byte) string {
	return filepath.Join(home, provedDir, identity.GenesisHash(genesis).String())
}

// readProved reads what a home remembers; nothing where there is no file, or a torn one.
func readProved(home string, genesis []byte) proved {
	none := proved{}
	if len(genesis) != len(identity.GenesisHash{}) {
		return none
	}
	raw, err := os.ReadFile(provedPath(home, genesis))
	if err != nil {
		return none
	}
	raw, ok := sound(raw)
	rest, known := bytes.CutPrefix(raw, []byte(provedMagic))
	if !ok || !known || len(rest) < 8 || (len(rest)-8)%sha256.Size != 0 || (len(rest)-8)/sha256.Size > refsMax {
		return none
	}
	p := proved{index: binary.BigEndian.Uint64(rest), elements: make(map[[sha256.Size]byte]bool, len(rest)/sha256.Size)}
	for rest = rest[8:]; len(rest) > 0; rest = rest[sha256.Size:] {
		p.elements[[sha256.Size]byte(rest)] = true
	}
	return p
}

// sound cuts the checksum off, and says whether it is that of the rest.
func sound(raw []byte) ([]byte, bool) {
	if len(raw) < crc32.Size {
		return nil, false
	}
	body, sum := raw[:len(raw)-crc32.Size], raw[len(raw)-crc32.Size:]
	return body, crc32.Checksum(body, castagnoli) == binary.BigEndian.Uint32(sum)
}

// writeProved replaces the file. It is not synced: who loses it checks once more.
func writeProved(home string, genesis []byte, index uint64, elements [][sha256.Size]byte) error {
	path := provedPath(home, genesis)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(tmp, 64<<10)
	w := io.MultiWriter(out, sum)
	_, _ = io.WriteString(w, provedMagic)
	_, _ = w.Write(binary.BigEndian.AppendUint64(nil, index))
	for _, e := range elements {
		_, _ = w.Write(e[:])
	}
	_, _ = out.Write(sum.Sum(nil))
	if err := errors.Join(out.Flush(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
