//go:build !linux

package main

import "syscall"

// dieWithParent can't be asked of this kernel: a bench that is killed leaves its
// children behind.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }
