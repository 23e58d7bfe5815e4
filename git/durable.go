package git

import (
	"errors"
	"os"
)

// writeSynced makes a new file and returns when its bytes, not yet its name, are
// on disk.
func writeSynced(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncFile brings a file's bytes to disk, whoever wrote them.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncDir brings the names in a directory to disk.
func syncDir(path string) error { return syncFile(path) }
