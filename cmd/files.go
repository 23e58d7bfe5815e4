package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// jsonBytesMax bounds the small files of a home.
const jsonBytesMax = 4 << 20

// A fileTooLarge is a file that peer does not read, and does not write.
type fileTooLarge struct {
	path     string
	bytesMax int
}

func (e *fileTooLarge) Error() string {
	return fmt.Sprintf("%s: larger than %d MiB, the most that peer reads of it", e.path, e.bytesMax>>20)
}

// writeFile replaces path by data: after a crash there is the old file or the
// new one, whole.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has been renamed
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Chmod(mode), tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readJSON reads path into v, which stays as it is where there is no such file.
func readJSON(path string, v any) error { return readJSONUpTo(path, v, jsonBytesMax) }

func readJSONUpTo(path string, v any, bytesMax int) error {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, int64(bytesMax)+1))
	if err != nil {
		return err
	}
	if len(raw) > bytesMax {
		return &fileTooLarge{path, bytesMax}
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// writeJSON replaces path, readable by its owner alone. What would be too large to read
// stays as it was.
func writeJSON(path string, v any) error { return writeJSONUpTo(path, v, jsonBytesMax) }

func writeJSONUpTo(path string, v any, bytesMax int) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if len(raw) > bytesMax {
		return fmt.Errorf("it would be too large, and stays as it was: %w", &fileTooLarge{path, bytesMax})
	}
	return writeFile(path, raw, 0o600)
}

// flock takes the lock file at path for as long as the file stays open. With
// wait unset it fails with syscall.EWOULDBLOCK where another process holds it.
// The file is never removed: a lock on a file without a name excludes nobody.
func flock(path string, wait bool) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err = syscall.Flock(int(file.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
