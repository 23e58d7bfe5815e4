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

	"peer/identity"
	"peer/wire"
)

// arrival is a payload being written. One goroutine writes it.
type arrival struct {
	s   *staging
	key string
	dir string // until it is whole
	// from is who brings it; empty: this node itself.
	from identity.PeerID
	// tx is the hash of the signed bytes for which from says to have checked it.
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

// errArriving says that the same sender is bringing it.
var errArriving = errors.New("this payload is already arriving")

// begin makes room for a payload that a member brings, beside those that are whole
// already, which an entry may name, and those that others bring: one that never ends
// must not be in their way.
func (s *staging) begin(from identity.PeerID, signer, id, txSum []byte, maxBytes int64) (*arrival, error) {
	a := &arrival{s: s, key: stageKey(signer, id), from: from, tx: txSum, sum: sha256.New(), max: maxBytes, done: make(chan struct{})}
	s.mu.Lock()
	if from != "" && s.arrives(a.same) != nil {
		s.mu.Unlock()
		return nil, errArriving
	}
	s.parts++
	a.dir = fmt.Sprintf("%s-%d%s", a.key, s.parts, partSuffix)
	s.arriving[a.dir] = a
	s.mu.Unlock()
	if err := a.open(); err != nil {
		a.abort()
		return nil, err
	}
	return a, nil
}

// same says that the other is the same payload from the same sender.
func (a *arrival) same(other *arrival) bool { return a.key == other.key && a.from == other.from }

// arrives finds one of the running arrivals; the caller holds the lock.
func (s *staging) arrives(is func(*arrival) bool) *arrival {
	for _, a := range s.arriving {
		if is(a) {
			return a
		}
	}
	return nil
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

func (a *arrival) part(file string) string { return a.s.path(a.dir, file) }

// wait gives the channel that is closed when what a member brings is here, or has
// come to nothing; nil if it brings nothing.
func (s *staging) wait(from identity.PeerID, signer, id []byte) <-chan struct{} {
	wanted := &arrival{key: stageKey(signer, id), from: from}
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.arrives(wanted.same); a != nil {
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

// adopt takes files that are whole, hashed, checked and durable already, as the
// leader's own quarantine is.
func (s *staging) adopt(signer, id, txSum []byte, p *wire.Payload, packPath, idxPath string) error {
	a, err := s.begin("", signer, id, txSum, 0)
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
	if err := a.place(record); err != nil {
		return err
	}
	a.s.fail(failStageRecorded)
	a.end(record)
	return nil
}

// place gives what arrived its name, unless the same is here already.
func (a *arrival) place(record *wire.Payload) error {
	s, dir := a.s, stageDir(a.key, record)
	s.placing.Lock()
	defer s.placing.Unlock()
	s.mu.Lock()
	here := s.complete[dir] != nil
	s.mu.Unlock()
	if here {
		return nil
	}
	// What may lie there is torn.
	err := errors.Join(os.RemoveAll(s.path(dir, "")), os.Rename(a.part(""), s.path(dir, "")), syncDir(s.dir))
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.complete[dir] = record
	s.mu.Unlock()
	return nil
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
	if string(packSum) != string(p.GetPackSha256()) || uint64(a.size) != p.GetPackSize() ||
		string(idxSum) != string(p.GetIdxSha256()) || uint64(a.idxSize) != p.GetIdxSize() {
		return errBadRequest("payload does not have the hash it was announced with")
	}
	return nil
}

// remember notes who says to have checked a complete payload; the caller holds the lock.
func (s *staging) remember(dir string, a *arrival) {
	switch {
	case s.complete[dir] == nil: // dropped meanwhile
	case a.from == "":
		s.checked[dir] = a.tx
	default:
		s.said[dir] = claim{tx: a.tx, from: a.from}
	}
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
	gone := a.s.takeAway(a.dir) // nothing, if it was renamed
	delete(a.s.arriving, a.dir)
	if record != nil && a.tx != nil {
		a.s.remember(stageDir(a.key, record), a)
	}
	a.s.mu.Unlock()
	_ = os.RemoveAll(a.s.path(gone, "")) // a later sweep takes what stays
	close(a.done)
}
