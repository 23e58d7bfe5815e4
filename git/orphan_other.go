//go:build unix && !linux

package git

import "syscall"

// endWithUs can't be asked for here: a child whose parent was killed ends when it
// next reads or writes.
func endWithUs(*syscall.SysProcAttr) {}
