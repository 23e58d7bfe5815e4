//go:build !linux

package gitd

import "syscall"

// quickAck is for Linux alone: elsewhere the kernel has no such option.
func quickAck(syscall.RawConn) {}
