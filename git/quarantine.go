package git

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// quarantinePrefix is the name under which git's own gc knows that such a
// directory is a push that came to nothing.
const quarantinePrefix = "tmp_objdir-incoming-"

// Quarantine holds an indexed pack that no reader sees. It goes away with
// Discard, also after its files have been installed.
type Quarantine struct {
	Name     string // checksum in hex, as in pack-NAME.pack
	PackPath string
	IdxPath  string
	PackSize int64
	IdxSize  int64
	Objects  uint32 // in the completed pack; 0 means that nothing need be published

	// RawSize is the number of bytes read from the pusher. A thin pack was
	// completed, and Completed is set: its object count changed in the first
	// PackHeaderBytes, and what follows RawSize less the checksum is new.
	RawSize   int64
	Completed bool

	repo *Repo
	dir  string
}

// PackHeaderBytes is the size of a pack's header: magic, version, object count.
const PackHeaderBytes = 12

func (r *Repo) newQuarantine() (*Quarantine, error) {
	dir, err := os.MkdirTemp(r.path("objects"), quarantinePrefix)
	if err != nil {
		return nil, fmt.Errorf("repository %s: quarantine: %w", r.dir, err)
	}
	if err := os.Mkdir(filepath.Join(dir, "pack"), 0o755); err != nil {
		return nil, fmt.Errorf("repository %s: quarantine: %w", r.dir, err)
	}
	return &Quarantine{repo: r, dir: dir}, nil
}

// Discard removes the quarantine and all in it.
func (q *Quarantine) Discard() error {
	if err := os.RemoveAll(q.dir); err != nil {
		return fmt.Errorf("repository %s: discard quarantine: %w", q.repo.dir, err)
	}
	return nil
}

// command runs git so that it writes objects into the quarantine only, and reads
// those of the repository as well. With GIT_QUARANTINE_PATH it refuses to move refs.
func (q *Quarantine) command(args ...string) *Command {
	c := q.repo.command(args...)
	c.Env = append(c.Env,
		"GIT_OBJECT_DIRECTORY="+q.dir,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES="+quotePathList(q.repo.path("objects")),
		"GIT_QUARANTINE_PATH="+q.dir)
	return c
}

// quotePathList makes one path an element of a colon-separated list.
func quotePathList(path string) string {
	if strings.Contains(path, ":") || strings.HasPrefix(path, `"`) {
		return forceQuote(path)
	}
	return path
}

// fill looks at what index-pack made.
func (q *Quarantine) fill(name string) error {
	q.Name = name
	q.PackPath = filepath.Join(q.dir, "pack", "pack-"+name+".pack")
	q.IdxPath = filepath.Join(q.dir, "pack", "pack-"+name+".idx")
	pack, err := os.Open(q.PackPath)
	if err != nil {
		return err
	}
	defer pack.Close()
	info, err := pack.Stat()
	if err != nil {
		return err
	}
	q.PackSize = info.Size()
	var header [PackHeaderBytes]byte
	if _, err := io.ReadFull(pack, header[:]); err != nil {
		return err
	}
	q.Objects = objectCount(header)
	if info, err = os.Stat(q.IdxPath); err != nil {
		return err
	}
	q.IdxSize = info.Size()
	return nil
}

func objectCount(header [PackHeaderBytes]byte) uint32 { return binary.BigEndian.Uint32(header[8:]) }
