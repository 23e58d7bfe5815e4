package git

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"time"
)

// lockPatience is how long a foreign packed-refs.lock is respected. An
// operator's git pack-refs is done long before; anything older is a crash's.
const lockPatience = time.Second

// replaceFile writes path.lock, which keeps git's own writers out, and renames
// it over path.
func replaceFile(path string, stamp time.Time, write func(*bufio.Writer) error) error {
	lock := path + ".lock"
	f, err := takeLock(lock)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 256<<10)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Chtimes(lock, stamp, stamp)
	}
	if err == nil {
		err = os.Rename(lock, path)
	}
	if err != nil {
		_ = os.Remove(lock)
	}
	return err
}

// takeLock creates the lock file. One that is in the way and stays is the trace
// of a crash: this node is the only regular writer.
func takeLock(lock string) (*os.File, error) {
	removed := false
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(10 * time.Millisecond) {
		f, err := os.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
		info, serr := os.Lstat(lock)
		old := serr == nil && time.Since(info.ModTime()) > lockPatience
		if !removed && (old || time.Now().After(deadline)) {
			if rerr := os.Remove(lock); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
				return nil, rerr
			}
			removed = true
			continue
		}
		if time.Now().After(deadline.Add(lockPatience)) {
			return nil, err
		}
	}
}
