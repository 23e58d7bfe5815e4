package node

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"peer/wire"
)

// freeBytes is the room for this process on dir's file system; -1 where it can't be told.
func freeBytes(dir string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return -1
	}
	return int64(st.Bavail) * st.Bsize
}

func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// roomFor refuses a pack before it is read when the disk is nearly full.
func (n *Node) roomFor(g *group) error {
	free := freeBytes(g.repo.Dir())
	if free >= 0 && free < n.cfg.FreeBytesMin {
		return failure(wire.FailureCode_FAILURE_DISK,
			fmt.Sprintf("replica %s has %d MiB of disk left, and keeps %d MiB free", n.self, free>>20, n.cfg.FreeBytesMin>>20),
			"nothing was changed; make room on that machine, then push again")
	}
	return nil
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
