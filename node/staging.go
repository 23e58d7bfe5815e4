package node

import (
	"crypto/sha256"
	"encoding/hex"
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
