package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"regexp"

	"google.golang.org/protobuf/proto"

	"peer/wire"
)

// arrival is a payload being written. One goroutine writes it.
type arrival struct {
	s   *staging
	key string
	// tx is the hash of the signed bytes, where a leader brings what it checked for them.
	tx   []byte
	pack *os.File
	idx  *os.File
	// sum is the running hash of the pack until a cut makes it worthless.
	sum hash.Hash
	cut bool
	// size and idxSize are what arrived of each file; none may exceed max.
	size, idxSize, max int64
	done               chan struct{} // closed when the arrival ended, either way
}

// payloadName is a pack's checksum, as it becomes a file's name.
var payloadName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// errArriving says that somebody else is writing the same payload.
var errArriving = errors.New("this payload is already arriving")

// begin makes room for a payload beside those that are whole already: an entry
// may name one of them.
func (s *staging) begin(signer, id, txSum []byte, maxBytes int64) (*arrival, error) {
	a := &arrival{s: s, key: stageKey(signer, id), tx: txSum, sum: sha256.New(), max: maxBytes, done: make(chan struct{})}
	s.mu.Lock()
	if s.arriving[a.key] != nil {
		s.mu.Unlock()
		return nil, errArriving
	}
	s.arriving[a.key] = a
	s.mu.Unlock()
	if err := a.open(); err != nil {
		a.abort()
		return nil, err
	}
	return a, nil
}

func (a *arrival) open() (err error) {
	if err := os.RemoveAll(a.part("")); err != nil {
		return err
	}
	if err := os.Mkdir(a.part(""), 0o700); err != nil {
		return err
	}
	flags := os.O_RDWR | os.O_CREATE | os.O_EXCL
	if a.pack, err = os.OpenFile(a.part(stagePack), flags, 0o400); err != nil {
		return err
	}
	a.idx, err = os.OpenFile(a.part(stageIdx), flags, 0o400)
	return err
}

func (a *arrival) part(file string) string { return a.s.path(a.key+partSuffix, file) }

// wait gives the channel that is closed when a running arrival ends; nil if none runs.
func (s *staging) wait(signer, id []byte) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.arriving[stageKey(signer, id)]; a != nil {
		return a.done
	}
	return nil
}

func (a *arrival) writePack(data []byte) error {
	if a.size += int64(len(data)); a.size > a.max {
		return a.tooLarge()
	}
	a.sum.Write(data)
	_, err := a.pack.Write(data)
	return err
}

func (a *arrival) tooLarge() error {
	return failure(wire.FailureCode_FAILURE_TOO_LARGE, fmt.Sprintf("payload is larger than %d bytes", a.max), "")
}

func (a *arrival) writeIdx(data []byte) error {
	if a.idxSize += int64(len(data)); a.idxSize > a.max {
		return a.tooLarge()
	}
	_, err := a.idx.Write(data)
	return err
}

// apply carries out a cut: see [wire.StageCut].
func (a *arrival) apply(c *wire.StageCut) error {
	keep := int64(c.GetKeep())
	if keep < 0 || keep > a.size || int64(len(c.GetHeader())) > keep {
		return errBadRequest("cut to %d of %d bytes", c.GetKeep(), a.size)
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
func (s *staging) adopt(signer, id, txSum []byte, p *wire.Payload, packPath, idxPath string) error {
	a, err := s.begin(signer, id, txSum, 0)
	if err != nil {
		return err
	}
	defer a.abort()
	for from, to := range map[string]string{packPath: stagePack, idxPath: stageIdx} {
		target := a.part(to)
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

// record makes the directory durable, says what is in it, and gives it its name.
func (a *arrival) record(p *wire.Payload) error {
	if err := syncDir(a.part("")); err != nil {
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
	if err := writeFileSync(a.part(stagePayload), raw); err != nil {
		return err
	}
	if err := syncDir(a.part("")); err != nil {
		return err
	}
	dir := stageDir(a.key, record)
	if !a.s.whole(dir, record) {
		// What lies there is torn, or has the pack's name and other bytes.
		err := errors.Join(os.RemoveAll(a.s.path(dir, "")), os.Rename(a.part(""), a.s.path(dir, "")), syncDir(a.s.dir))
		if err != nil {
			return err
		}
	}
	a.s.fail(failStageRecorded)
	a.end(record)
	return nil
}

// whole says that the same payload is here already.
func (s *staging) whole(dir string, p *wire.Payload) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.complete[dir]
	return have != nil && samePayload(have, p)
}

func (a *arrival) check(p *wire.Payload) error {
	if !payloadName.MatchString(p.GetName()) {
		return fmt.Errorf("payload has no pack's name: %.80q", p.GetName())
	}
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
		return errBadRequest("payload does not have the hash it was announced with")
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
	a.end(nil)
}

func (a *arrival) end(record *wire.Payload) {
	for _, f := range []*os.File{a.pack, a.idx} {
		if f != nil {
			_ = f.Close() // synced, or removed
		}
	}
	a.s.mu.Lock()
	gone := a.s.takeAway(a.key + partSuffix) // nothing, if it was renamed
	delete(a.s.arriving, a.key)
	if record != nil {
		dir := stageDir(a.key, record)
		a.s.complete[dir] = record
		if a.tx != nil {
			a.s.checked[dir] = a.tx
		}
	}
	a.s.mu.Unlock()
	_ = os.RemoveAll(a.s.path(gone, "")) // a later sweep takes what stays
	close(a.done)
}
