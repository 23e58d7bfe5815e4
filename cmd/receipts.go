package cmd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/identity"
	"peer/replica"
	"peer/wire"
)

const (
	receiptsDir      = "receipts"
	receiptSuffix    = ".receipt"
	receiptsMax      = 10_000
	receiptsBytesMax = 64 << 20
	// receiptsSweep is after how many new receipts the sizes of all are added up.
	receiptsSweep = 32
)

// receipts are those that a home was given, one file each: GENESIS-INDEX.receipt holds
// a [wire.Receipt] that needs nothing else to be checked. The oldest ones go.
type receipts struct{ dir string }

func receiptsOf(home string) receipts { return receipts{filepath.Join(home, receiptsDir)} }

func receiptName(genesis identity.GenesisHash, index uint64) string {
	return fmt.Sprintf("%s-%020d%s", genesis, index, receiptSuffix)
}

// readReceipt reads a file and checks what is in it.
func readReceipt(path string) (*replica.Receipt, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > replica.ReceiptBytesMax {
		return nil, fmt.Errorf("%s has %d bytes: no receipt has more than %d", path, info.Size(), replica.ReceiptBytesMax)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	raw := new(wire.Receipt)
	if err := proto.Unmarshal(data, raw); err != nil {
		return nil, fmt.Errorf("%s is no receipt: %w", path, err)
	}
	r, err := replica.ParseReceipt(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// of lists the receipts for one genesis: their files, by index.
func (s receipts) of(genesis identity.GenesisHash) (map[uint64]string, error) {
	names, err := s.names()
	found := map[uint64]string{}
	for _, name := range names {
		rest, ours := strings.CutPrefix(name, genesis.String()+"-")
		if index, err := strconv.ParseUint(strings.TrimSuffix(rest, receiptSuffix), 10, 64); ours && err == nil {
			found[index] = filepath.Join(s.dir, name)
		}
	}
	return found, err
}

// newest is the last receipt for a genesis; nil where there is none that holds.
func (s receipts) newest(genesis identity.GenesisHash) *replica.Receipt {
	found, err := s.of(genesis)
	if err != nil {
		return nil
	}
	last := uint64(0)
	for index := range found {
		last = max(last, index)
	}
	if last == 0 {
		return nil
	}
	r, err := readReceipt(found[last])
	if err != nil || r.Genesis.Hash != genesis {
		return nil
	}
	return r
}

// path is where the receipt for an entry is.
func (s receipts) path(genesis identity.GenesisHash, index uint64) string {
	return filepath.Join(s.dir, receiptName(genesis, index))
}

// keep stores a receipt that was checked; nil is none.
func (s receipts) keep(r *replica.Receipt) error {
	if r == nil {
		return nil
	}
	return s.keepAs(receiptName(r.Genesis.Hash, r.Index), r.Raw)
}

// keepBeside stores one that contradicts another, so that neither takes the other's place.
func (s receipts) keepBeside(r *replica.Receipt) error {
	return s.keepAs("contradiction-"+receiptName(r.Genesis.Hash, r.Index), r.Raw)
}

func (s receipts) keepAs(name string, raw *wire.Receipt) error {
	data, err := proto.Marshal(raw)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	// Not synced: a receipt that a power loss takes can't be had again, but the push
	// does not hang on it, and each sync would take longer than the rest of it here.
	path := filepath.Join(s.dir, name)
	tmp, err := os.CreateTemp(s.dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	names, err := s.names()
	if err == nil && (len(names) > receiptsMax || len(names)%receiptsSweep == 0) {
		err = s.sweep(names, receiptsMax, receiptsBytesMax)
	}
	return err
}

func (s receipts) names() ([]string, error) {
	dir, err := os.Open(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, receiptSuffix) }), err
}

// sweep removes the oldest, down to so many files and bytes.
func (s receipts) sweep(names []string, filesMax int, bytesMax int64) error {
	type file struct {
		name string
		size int64
		at   time.Time
	}
	var files []file
	var total int64
	for _, name := range names {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err == nil { // or another process removed it
			files = append(files, file{name, info.Size(), info.ModTime()})
			total += info.Size()
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	for i := 0; len(files)-i > filesMax || total > bytesMax; i++ {
		if err := os.Remove(filepath.Join(s.dir, files[i].name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= files[i].size
	}
	return nil
}

// admit holds a receipt against the newest one that is here: of voters that go on from
// those, and of the same log.
func (s receipts) admit(r *replica.Receipt) error {
	known := s.newest(r.Genesis.Hash)
	if known == nil {
		return nil
	}
	if !r.Lineage.Extends(known.Lineage) {
		return &protocolError{fmt.Sprintf("the receipt is by the voters of configuration %d, and configuration %d is known here", r.Lineage.Last().Generation, known.Lineage.Last().Generation)}
	}
	if c, _ := r.Contradicts(known); c != nil {
		_ = s.keepBeside(r) // what can't be kept is refused all the same
		return &protocolError{fmt.Sprintf("its receipt contradicts the one for entry %d: voters signed two logs; both are in %s", known.Index, s.dir)}
	}
	return nil
}
