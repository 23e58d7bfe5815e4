package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// FreeBytesMin is the room that must be left. Badger maps sparse files, and a
// full disk under a mapping kills the process instead of returning an error.
const FreeBytesMin = 128 << 20

func (s *Store) checkSpace() error { return checkSpace(s.dir.dir, s.freeBytesMin) }

func checkSpace(dir string, least uint64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("look for free space: %w", err)
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < least {
		return &DiskFullError{Dir: dir, FreeBytes: free, MinBytes: least}
	}
	return nil
}

// A dirSyncer makes the names of new files durable. Badger syncs what is in its
// logs, but not the directory in which it began them, so a power loss could take
// a whole log that was synced a thousand times.
type dirSyncer struct {
	dir string
	off bool

	mu    sync.Mutex
	clean time.Time // the modification time whose names are durable
}

// mtimeGrain is more than the resolution of any file system's clock in use: within
// it a directory may change twice and show the same modification time.
const mtimeGrain = time.Second

// sync returns when all names are durable. It costs one stat when none is new.
func (d *dirSyncer) sync() error {
	if d.off {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Stat(d.dir)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(d.clean) {
		return nil
	}
	looked := time.Now()
	if err := syncDir(d.dir); err != nil {
		return err
	}
	if looked.Sub(info.ModTime()) > mtimeGrain {
		d.clean = info.ModTime()
	}
	return nil
}

// syncWithParent is for the directory's own name, once.
func (d *dirSyncer) syncWithParent() error {
	if d.off {
		return nil
	}
	return errors.Join(d.sync(), syncDir(filepath.Dir(filepath.Clean(d.dir))))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync directory %s: %w", dir, err)
	}
	return nil
}
