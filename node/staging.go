package node

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// staging holds payloads that an entry names, or soon will, and that are not yet
// published. It belongs to (repository, signer, transaction ID), not to a
// leader, so whoever leads next finds them.
//
//	REPO/peer/staging/NAME/pack
//	REPO/peer/staging/NAME/idx
//	REPO/peer/staging/NAME/payload    wire.Payload; written last, so its being there means all is durable
type staging struct {
	dir  string
	fail func(string)

	mu sync.Mutex
	// complete is what is durable; arriving what somebody is writing now.
	complete map[string]*wire.Payload
	arriving map[string]*arrival
	// present names payloads whose objects came by other means and are in the store.
	present map[string]string
}

const (
	stagePack    = "pack"
	stageIdx     = "idx"
	stagePayload = "payload"
	// stageAge is how long a payload that no entry names is kept: far longer
	// than a push takes, since the entry may still come.
	stageAge = 24 * time.Hour
)

// stageName is the directory of one transaction's payload.
func stageName(signer, id []byte) string {
	h := sha256.New()
	h.Write(signer)
	h.Write(id)
	return hex.EncodeToString(h.Sum(nil)[:20])
}

func openStaging(repoDir string, fail func(string)) (*staging, error) {
	s := &staging{
		dir: filepath.Join(repoDir, "peer", "staging"), fail: fail,
		complete: map[string]*wire.Payload{}, arriving: map[string]*arrival{}, present: map[string]string{},
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if p, err := s.readRecord(e.Name()); err == nil {
			s.complete[e.Name()] = p
		}
	}
	return s, nil
}

func (s *staging) readRecord(name string) (*wire.Payload, error) {
	raw, err := os.ReadFile(s.path(name, stagePayload))
	if err != nil {
		return nil, err
	}
	p := new(wire.Payload)
	if err := proto.Unmarshal(raw, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (s *staging) path(name, file string) string { return filepath.Join(s.dir, name, file) }

// Held implements [replica.Payloads].
func (s *staging) Held(signer, id []byte, p *wire.Payload) bool {
	name := stageName(signer, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.present[name] == p.GetName() {
		return true
	}
	have := s.complete[name]
	return have != nil && samePayload(have, p)
}

func samePayload(a, b *wire.Payload) bool {
	return a.GetName() == b.GetName() &&
		a.GetPackSize() == b.GetPackSize() && string(a.GetPackSha256()) == string(b.GetPackSha256()) &&
		a.GetIdxSize() == b.GetIdxSize() && string(a.GetIdxSha256()) == string(b.GetIdxSha256())
}

// find says which payload a transaction has here, and where; nil if none.
func (s *staging) find(signer, id []byte) *wire.Payload {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete[stageName(signer, id)]
}

// files are the paths of a complete payload.
func (s *staging) files(signer, id []byte) (pack, idx string) {
	name := stageName(signer, id)
	return s.path(name, stagePack), s.path(name, stageIdx)
}

// markPresent says that a payload's objects are durable in the store itself.
func (s *staging) markPresent(signer, id []byte, payloadName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present[stageName(signer, id)] = payloadName
}

// drop forgets a payload that was published, or whose transaction was refused.
func (s *staging) drop(signer, id []byte) error {
	name := stageName(signer, id)
	s.mu.Lock()
	_, known := s.complete[name]
	delete(s.complete, name)
	delete(s.present, name)
	busy := s.arriving[name] != nil
	s.mu.Unlock()
	if !known || busy {
		return nil
	}
	return os.RemoveAll(filepath.Join(s.dir, name))
}

// sweep removes what no entry of the log names: at once if it is incomplete,
// after stageAge if it is whole.
func (s *staging) sweep(named map[string]bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		s.mu.Lock()
		whole, busy := s.complete[e.Name()] != nil, s.arriving[e.Name()] != nil
		s.mu.Unlock()
		info, err := e.Info()
		if err != nil {
			continue // gone meanwhile
		}
		if named[e.Name()] || busy || (whole && time.Since(info.ModTime()) < stageAge) {
			continue
		}
		s.mu.Lock()
		delete(s.complete, e.Name())
		s.mu.Unlock()
		if err := os.RemoveAll(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// arrival is a payload being written. One goroutine writes it.
type arrival struct {
	s    *staging
	name string
	pack *os.File
	idx  *os.File
	// sum is the running hash of the pack until a cut makes it worthless.
	sum  hash.Hash
	cut  bool
	size int64
	max  int64
	done chan struct{} // closed when the arrival ended, either way
}

// errArriving says that somebody else is writing the same payload.
var errArriving = errors.New("this payload is already arriving")

func (s *staging) begin(signer, id []byte, maxBytes int64) (*arrival, error) {
	a := &arrival{s: s, name: stageName(signer, id), sum: sha256.New(), max: maxBytes, done: make(chan struct{})}
	s.mu.Lock()
	if s.arriving[a.name] != nil {
		s.mu.Unlock()
		return nil, errArriving
	}
	s.arriving[a.name] = a
	delete(s.complete, a.name)
	s.mu.Unlock()
	if err := a.open(); err != nil {
		a.abort()
		return nil, err
	}
	return a, nil
}

func (a *arrival) open() (err error) {
	dir := filepath.Join(a.s.dir, a.name)
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	if a.pack, err = os.OpenFile(a.s.path(a.name, stagePack), flags, 0o400); err != nil {
		return err
	}
	a.idx, err = os.OpenFile(a.s.path(a.name, stageIdx), flags, 0o400)
	return err
}

// wait gives the channel that is closed when a running arrival ends; nil if none runs.
func (s *staging) wait(signer, id []byte) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.arriving[stageName(signer, id)]; a != nil {
		return a.done
	}
	return nil
}

func (a *arrival) writePack(data []byte) error {
	if a.size += int64(len(data)); a.size > a.max {
		return fmt.Errorf("payload is larger than %d bytes", a.max)
	}
	a.sum.Write(data)
	_, err := a.pack.Write(data)
	return err
}

func (a *arrival) writeIdx(data []byte) error {
	_, err := a.idx.Write(data)
	return err
}

// apply carries out a cut: see [wire.StageCut].
func (a *arrival) apply(c *wire.StageCut) error {
	keep := int64(c.GetKeep())
	if keep > a.size || int64(len(c.GetHeader())) > keep {
		return fmt.Errorf("cut to %d of %d bytes", keep, a.size)
	}
	a.cut = true
	if _, err := a.pack.WriteAt(c.GetHeader(), 0); err != nil {
		return err
	}
	if err := a.pack.Truncate(keep); err != nil {
		return err
	}
	a.size = keep
	_, err := a.pack.Seek(keep, io.SeekStart)
	return err
}

// adopt takes files that are whole, hashed and durable already, as the leader's
// own quarantine is.
func (s *staging) adopt(signer, id []byte, p *wire.Payload, packPath, idxPath string) error {
	a, err := s.begin(signer, id, 0)
	if err != nil {
		return err
	}
	defer a.abort()
	for from, to := range map[string]string{packPath: stagePack, idxPath: stageIdx} {
		target := s.path(a.name, to)
		if err := os.Remove(target); err != nil {
			return err
		}
		if err := os.Link(from, target); err != nil {
			return err
		}
	}
	return a.record(p)
}

// finish checks the files against their hashes and makes them durable: files,
// then the record, each with its directory.
func (a *arrival) finish(p *wire.Payload) error {
	if err := a.check(p); err != nil {
		return err
	}
	if err := errors.Join(a.pack.Sync(), a.idx.Sync()); err != nil {
		return err
	}
	return a.record(p)
}

// record makes the directory durable, and says what is in it.
func (a *arrival) record(p *wire.Payload) error {
	dir := filepath.Join(a.s.dir, a.name)
	if err := syncDir(dir); err != nil {
		return err
	}
	a.s.fail(failStaged)
	record := &wire.Payload{
		Name: p.GetName(), PackSize: p.GetPackSize(), PackSha256: p.GetPackSha256(),
		IdxSize: p.GetIdxSize(), IdxSha256: p.GetIdxSha256(),
	}
	raw, err := proto.Marshal(record)
	if err != nil {
		return err
	}
	if err := writeFileSync(filepath.Join(dir, stagePayload), raw); err != nil {
		return err
	}
	if err := errors.Join(syncDir(dir), syncDir(a.s.dir)); err != nil {
		return err
	}
	a.s.fail(failStageRecorded)
	a.end(record)
	return nil
}

func (a *arrival) check(p *wire.Payload) error {
	packSum := a.sum.Sum(nil)
	if a.cut {
		var err error
		if packSum, err = sumFile(a.pack); err != nil {
			return err
		}
	}
	idxSum, err := sumFile(a.idx)
	if err != nil {
		return err
	}
	if string(packSum) != string(p.GetPackSha256()) || uint64(a.size) != p.GetPackSize() || string(idxSum) != string(p.GetIdxSha256()) {
		return errors.New("payload does not have the hash it was announced with")
	}
	return nil
}

// abort removes what arrived so far. It does nothing after finish.
func (a *arrival) abort() {
	select {
	case <-a.done:
		return
	default:
	}
	_ = os.RemoveAll(filepath.Join(a.s.dir, a.name)) // a later sweep takes what stays
	a.end(nil)
}

func (a *arrival) end(record *wire.Payload) {
	for _, f := range []*os.File{a.pack, a.idx} {
		if f != nil {
			_ = f.Close() // synced, or removed
		}
	}
	a.s.mu.Lock()
	delete(a.s.arriving, a.name)
	if record != nil {
		a.s.complete[a.name] = record
	}
	a.s.mu.Unlock()
	close(a.done)
}

func sumFile(f *os.File) ([]byte, error) {
	h := sha256.New()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

func writeFileSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
