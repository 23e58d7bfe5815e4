//go:build unix

package git

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes the child lead a process group, all of which dies with its
// context: upload-pack starts a pack-objects, which would outlive it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithUs(cmd.SysProcAttr)
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if err == syscall.ESRCH {
			return os.ErrProcessDone
		}
		return err
	}
}

func niceGroup(leader, add int) error {
	return syscall.Setpriority(syscall.PRIO_PGRP, leader, add)
}

// signalError says which signal ended a child; nil when none did.
func signalError(s *os.ProcessState) error {
	if ws, ok := s.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return &signalledError{ws.Signal()}
	}
	return nil
}

type signalledError struct{ signal syscall.Signal }

func (e *signalledError) Error() string { return fmt.Sprintf("killed by %s", e.signal) }
