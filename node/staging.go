package node

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"peer/git"
	"peer/identity"
	"peer/wire"
)

// staging holds payloads that an entry names, or soon will, and that are not yet
// published. It belongs to (repository, signer, transaction ID), not to a
// leader, so whoever leads next finds them. A transaction that is sent again may
// come in another pack: each has a directory of its own, and none replaces another.
//
//	REPO/peer/staging/KEY-N.part               what is arriving, from one sender
//	REPO/peer/staging/KEY-NAME-HASH/pack
//	REPO/peer/staging/KEY-NAME-HASH/idx
//	REPO/peer/staging/KEY-NAME-HASH/payload    wire.Payload; written last, so its being there means all is durable
type staging struct {
	dir  string
	fail func(string)

	// placing lets one arrival at a time take its directory's name: of two with the
	// same bytes the second must not put away what the first has been acknowledged for.
	placing sync.Mutex

	mu sync.Mutex
	// complete is what is durable, by directory; arriving what somebody is writing
	// now, by directory too; present the names of payloads whose objects came by other
	// means and are in the store, by key.
	complete map[string]*wire.Payload
	arriving map[string]*arrival
	present  map[string]string
	// checked is the hash of the signed bytes for which this node itself checked a
	// complete one. said is that for which a member says so: any member may, of
	// anything.
	checked map[string][]byte
	said    map[string]claim
	parts   int // arrivals so far
	gone    int // directories taken away so far
}

// claim is a member's word that a payload is that of a transaction.
type claim struct {
	tx      []byte // hash of the signed bytes
	from    identity.PeerID
	doubted bool
}

const (
	stagePack    = "pack"
	stageIdx     = "idx"
	stagePayload = "payload"
	// stageAge is how long a payload that no entry names is kept: far longer
	// than a push takes, since the entry may still come.
	stageAge = 24 * time.Hour
)

// Names of what is still arriving, and of what nobody wants any more.
const (
	partSuffix = ".part"
	gonePrefix = "gone-"
)

// stageKey stands for one transaction.
func stageKey(signer, id []byte) string {
	h := sha256.New()
	h.Write(signer)
	h.Write(id)
	return hex.EncodeToString(h.Sum(nil)[:20])
}

// stageDir is the directory of a transaction's payload. Nobody has checked the
// payload's name yet, so bytes that differ must never have one directory.
func stageDir(key string, p *wire.Payload) string {
	h := sha256.New()
	h.Write(p.GetPackSha256())
	h.Write(p.GetIdxSha256())
	return oldStageDir(key, p) + "-" + hex.EncodeToString(h.Sum(nil)[:16])
}

// oldStageDir is where older programs put it.
func oldStageDir(key string, p *wire.Payload) string { return key + "-" + p.GetName() }

// keyOf is the transaction that a directory belongs to.
func keyOf(dir string) string {
	key, _, _ := strings.Cut(strings.TrimSuffix(dir, partSuffix), "-")
	return key
}

func openStaging(repoDir string, fail func(string)) (*staging, error) {
	s := &staging{
		dir: filepath.Join(repoDir, "peer", "staging"), fail: fail,
		complete: map[string]*wire.Payload{}, arriving: map[string]*arrival{}, present: map[string]string{}, checked: map[string][]byte{}, said: map[string]claim{},
	}
	if err := git.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), gonePrefix) {
			if err := os.RemoveAll(s.path(e.Name(), "")); err != nil {
				return nil, err
			}
			continue
		}
		p, err := s.readRecord(e.Name())
		if err != nil {
			continue
		}
		if err := s.moveOld(e.Name(), p); err != nil {
			return nil, err
		}
		s.complete[stageDir(keyOf(e.Name()), p)] = p
	}
	return s, nil
}

// moveOld gives a payload that an older program staged its present name.
func (s *staging) moveOld(name string, p *wire.Payload) error {
	dir := stageDir(keyOf(name), p)
	if name == dir {
		return nil
	}
	return errors.Join(os.RemoveAll(s.path(dir, "")), os.Rename(s.path(name, ""), s.path(dir, "")), syncDir(s.dir))
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
	// A crash may have torn the record, or a removal left it without its files.
	key := keyOf(name)
	whole := (stageDir(key, p) == name || oldStageDir(key, p) == name) && len(p.GetPackSha256()) == sha256.Size && len(p.GetIdxSha256()) == sha256.Size
	for file, size := range map[string]uint64{stagePack: p.GetPackSize(), stageIdx: p.GetIdxSize()} {
		info, err := os.Stat(s.path(name, file))
		whole = whole && err == nil && uint64(info.Size()) == size
	}
	if !whole {
		return nil, errors.New("staged payload is not whole")
	}
	return p, nil
}

func (s *staging) path(name, file string) string { return filepath.Join(s.dir, name, file) }

// Held implements [replica.Payloads].
func (s *staging) Held(signer, id []byte, p *wire.Payload) bool {
	key := stageKey(signer, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name, ok := s.present[key]; ok && name == p.GetName() {
		return true
	}
	have := s.complete[stageDir(key, p)]
	return have != nil && samePayload(have, p)
}

func samePayload(a, b *wire.Payload) bool {
	return a.GetName() == b.GetName() &&
		a.GetPackSize() == b.GetPackSize() && string(a.GetPackSha256()) == string(b.GetPackSha256()) &&
		a.GetIdxSize() == b.GetIdxSize() && string(a.GetIdxSha256()) == string(b.GetIdxSha256())
}

// find gives the payload for these signed bytes, by their hash; nil if none is here,
// or nobody remembers. Another transaction under the same ID may have left one with
// other objects. Who says that it was checked is this node, or else a member.
func (s *staging) find(signer, id, txSum []byte) (p *wire.Payload, from identity.PeerID) {
	key := stageKey(signer, id)
	s.mu.Lock()
	defer s.mu.Unlock()
	for dir, have := range s.complete {
		if keyOf(dir) != key {
			continue
		}
		if string(s.checked[dir]) == string(txSum) {
			return have, ""
		}
		if c, ok := s.said[dir]; ok && !c.doubted && string(c.tx) == string(txSum) {
			p, from = have, c.from
		}
	}
	return p, from
}

// doubt no longer believes what a member said of a payload. The bytes stay as long as
// those that are: an entry may name them all the same.
func (s *staging) doubt(signer, id []byte, p *wire.Payload) {
	s.mu.Lock()
	defer s.mu.Unlock()
	dir := stageDir(stageKey(signer, id), p)
	if c, ok := s.said[dir]; ok {
		c.doubted = true
		s.said[dir] = c
	}
}

// files are the paths of a complete payload; ok is false where it is not here.
func (s *staging) files(signer, id []byte, p *wire.Payload) (pack, idx string, ok bool) {
	dir := stageDir(stageKey(signer, id), p)
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.complete[dir]
	return s.path(dir, stagePack), s.path(dir, stageIdx), have != nil && samePayload(have, p)
}

// markPresent says that a payload's objects are durable in the store itself.
func (s *staging) markPresent(signer, id []byte, payloadName string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.present[stageKey(signer, id)] = payloadName
}

// drop forgets a payload of a transaction that was published, and what else came
// for the same signed bytes. Those of a refused one stay while the log names them,
// under the same ID too: a member that lags must get them before it can acknowledge
// the entry, and nobody has their objects elsewhere.
func (s *staging) drop(signer, id, txSum []byte, p *wire.Payload) error {
	key := stageKey(signer, id)
	s.mu.Lock()
	if s.present[key] == p.GetName() {
		delete(s.present, key)
	}
	var gone []string
	for dir := range s.complete {
		sum := s.checked[dir]
		if sum == nil {
			sum = s.said[dir].tx
		}
		same := sum != nil && bytes.Equal(sum, txSum)
		if dir == stageDir(key, p) || keyOf(dir) == key && same {
			gone = append(gone, s.takeAway(dir))
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, dir := range gone {
		errs = append(errs, os.RemoveAll(s.path(dir, "")))
	}
	return errors.Join(errs...)
}

// takeAway forgets a directory and gives it a name under which nobody looks for
// it, so that it can be removed without the lock, which the loop waits for.
func (s *staging) takeAway(dir string) string {
	delete(s.complete, dir)
	delete(s.checked, dir)
	delete(s.said, dir)
	s.gone++
	name := fmt.Sprintf("%s%d", gonePrefix, s.gone)
	_ = os.Rename(s.path(dir, ""), s.path(name, "")) // a later sweep takes what stays
	return name
}

// bytes is what is staged, but for packs that the store has: their files are the same.
func (s *staging) bytes(stored func(name string) bool) (n int64) {
	s.mu.Lock()
	complete := slices.Collect(maps.Values(s.complete))
	s.mu.Unlock()
	for _, p := range complete {
		if !stored(p.GetName()) {
			n += int64(p.GetPackSize() + p.GetIdxSize())
		}
	}
	return n
}

// empty says that nothing is staged.
func (s *staging) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.complete) == 0 && len(s.arriving) == 0
}

// sweep removes what no entry of the log names: at once if it is incomplete,
// after stageAge if it is whole.
func (s *staging) sweep(named map[string]bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.sweepOne(e, named); err != nil {
			return err
		}
	}
	return nil
}

// sweepOne decides under the lock, so that nothing begins to arrive in what goes.
func (s *staging) sweepOne(e os.DirEntry, named map[string]bool) error {
	dir, key := e.Name(), keyOf(e.Name())
	s.mu.Lock()
	whole, busy := s.complete[dir] != nil, s.arrives(func(a *arrival) bool { return a.key == key }) != nil
	info, err := e.Info()
	if err != nil || busy || (whole && (named[key] || time.Since(info.ModTime()) < stageAge)) {
		s.mu.Unlock()
		return nil // an error: gone meanwhile
	}
	dir = s.takeAway(dir)
	s.mu.Unlock()
	return os.RemoveAll(s.path(dir, ""))
}
