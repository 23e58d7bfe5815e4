package git

import (
	"errors"

	"golang.org/x/sys/unix"
)

// limitChild bounds a child that has just started. It counts on the child not
// having read anything from outside yet.
func limitChild(pid int, l limits) error {
	for _, one := range []struct {
		resource int
		max      int64
	}{
		// Since Linux 4.7 private writable memory counts here, mapped or not; packs,
		// which git maps read-only, don't, as they would under RLIMIT_AS.
		{unix.RLIMIT_DATA, l.memoryBytes},
		{unix.RLIMIT_FSIZE, l.fileBytes},
		{unix.RLIMIT_CPU, l.cpuSeconds},
	} {
		if one.max <= 0 {
			continue
		}
		// A child that is already gone needs no limit; its Wait says why it ended.
		if err := lowerLimit(pid, one.resource, uint64(one.max)); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// lowerLimit sets the soft limit, which the kernel enforces, and leaves the hard
// one, so that a later call can set it higher again without a privilege.
func lowerLimit(pid, resource int, max uint64) error {
	var l unix.Rlimit
	if err := unix.Prlimit(pid, resource, nil, &l); err != nil {
		return err
	}
	l.Cur = min(max, l.Max)
	return unix.Prlimit(pid, resource, &l, nil)
}

// physicalMemory is what the machine has, in bytes; 0 when it can't be told.
func physicalMemory() int64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int64(info.Totalram) * int64(info.Unit)
}
