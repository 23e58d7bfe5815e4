package node

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// FreeBytes is the room for this process on dir's file system; -1 where it can't be told.
func FreeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// guarded looks at the disk again while a pack arrives: a full one would stop the
// whole node.
type guarded struct {
	io.Reader
	n     *Node
	in    *intake // counts what arrives; nil: for what a majority decided to take
	since int
	total int64
}

// guardBytes is how much may arrive between two looks. It is far below what
// Config.FreeBytesMin keeps.
const guardBytes = 8 << 20

func (r *guarded) Read(p []byte) (int, error) {
	if r.since >= guardBytes {
		r.since = 0
		if err := r.look(); err != nil {
			return 0, err
		}
	}
	k, err := r.Reader.Read(p)
	r.since += k
	r.total += int64(k)
	return k, err
}

func (r *guarded) look() error {
	if err := r.n.roomForPack(); err != nil || r.in == nil {
		return err
	}
	return r.in.upTo(r.total)
}

func syncFiles(paths ...string) error {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", path, err)
		}
	}
	return nil
}

func sumFile(f *os.File) ([]byte, error) {
	h := sha256.New()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, info.Size())); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

func writeFileSync(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return errors.Join(err, f.Close())
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
