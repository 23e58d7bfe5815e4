package cmd

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/wire"
)

const (
	// provedDir is where a home remembers which refs it has checked.
	provedDir   = "proved"
	provedMagic = "peer proved 3\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// proved is the last listing of a repository that a majority of the voters vouched for to
// this home, and that was checked. A ref that is still where it was then needs no second
// proof; and whatever is listed later must be able to follow from it.
type proved struct {
	index uint64 // zero: nothing is remembered
	refs  map[string]*wire.ListedRef
}

func provedPath(home string, genesis []byte) string {
	return filepath.Join(home, provedDir, identity.GenesisHash(genesis).String())
}

// readProved reads what a home remembers; nothing where there is no file, or a torn one, or
// one that goes beyond the pin, which is written before: a person took the pin back.
func readProved(home string, pinned pin) proved {
	none := proved{}
	if pinned.Vouched == nil || len(pinned.hash()) != len(identity.GenesisHash{}) {
		return none
	}
	raw, err := os.ReadFile(provedPath(home, pinned.hash()))
	if err != nil {
		return none
	}
	raw, ok := sound(raw)
	rest, known := bytes.CutPrefix(raw, []byte(provedMagic))
	if !ok || !known || len(rest) < 8 {
		return none
	}
	index, list := binary.BigEndian.Uint64(rest), new(wire.Listed)
	if index > pinned.Vouched.Index || proto.Unmarshal(rest[8:], list) != nil {
		return none
	}
	p := proved{index: index, refs: make(map[string]*wire.ListedRef, len(list.GetRefs()))}
	for _, r := range list.GetRefs() {
		p.refs[r.GetName()] = r
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
func writeProved(home string, genesis []byte, index uint64, refs []*wire.ListedRef) error {
	list := &wire.Listed{Refs: make([]*wire.ListedRef, len(refs))}
	for i, r := range refs { // nobody vouches for what a tag points at
		list.Refs[i] = &wire.ListedRef{Name: r.GetName(), Oid: r.GetOid(), Index: r.GetIndex()}
	}
	raw, err := proto.MarshalOptions{}.MarshalAppend(binary.BigEndian.AppendUint64([]byte(provedMagic), index), list)
	if err != nil {
		return err
	}
	path := provedPath(home, genesis)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = tmp.Write(binary.BigEndian.AppendUint32(raw, crc32.Checksum(raw, castagnoli)))
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// has says whether a ref was where it is by the same entry.
func (p proved) has(r *wire.ListedRef) bool {
	was := p.refs[r.GetName()]
	return was != nil && was.GetIndex() == r.GetIndex() && bytes.Equal(was.GetOid(), r.GetOid())
}

// check refuses a listing that can't be of a later state than the one that is remembered:
// what an entry up to there set, and nothing moved since, is remembered.
func (p proved) check(refs []*wire.ListedRef) error {
	for _, r := range refs {
		if p.index > 0 && r.GetIndex() <= p.index && !p.has(r) {
			return &protocolError{fmt.Sprintf("it lists %.100q at %x, where entry %d is said to have put it, and in the listing of index %d that a majority of the voters vouched for here before it is not",
				r.GetName(), r.GetOid(), r.GetIndex(), p.index)}
		}
	}
	return nil
}

// gone are the names that are remembered and not listed, in no order.
func (p proved) gone(refs []*wire.ListedRef) (names []string) {
	listed := make(map[string]bool, len(refs))
	for _, r := range refs {
		listed[r.GetName()] = true
	}
	for name := range p.refs {
		if !listed[name] {
			names = append(names, name)
		}
	}
	return names
}
