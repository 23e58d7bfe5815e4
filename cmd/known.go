package cmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/protobuf/proto"

	"peer/replica"
	"peer/wire"
)

// knownDir is where a home without a node remembers private repositories, one file each.
const knownDir = "known"

// knownGeneses implements [node.Cache] for a home without a node: it remembers who holds
// the private repositories that it has read, so that no others need to be asked about
// them again. Public ones are found by asking anybody.
type knownGeneses struct{ dir string }

// path is empty for keys that are nothing of ours to keep.
func (k knownGeneses) path(key string) string {
	id, ok := strings.CutPrefix(key, "genesis/")
	if !ok || id != filepath.Base(id) {
		return ""
	}
	return filepath.Join(k.dir, id)
}

// Get implements [node.Cache].
func (k knownGeneses) Get(key string) ([]byte, bool, error) {
	raw, err := os.ReadFile(k.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return raw, err == nil, err
}

// Put implements [node.Cache]. A file that a crash left torn is no genesis, and so
// nothing that is remembered.
func (k knownGeneses) Put(key string, value []byte) error {
	path, signed := k.path(key), new(wire.Signed)
	if err := proto.Unmarshal(value, signed); path == "" || err != nil {
		return err
	}
	if g, err := replica.ParseGenesis(signed); err != nil || !g.Private {
		return err
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(path, value, 0o600)
}
