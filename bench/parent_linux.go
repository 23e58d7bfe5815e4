package main

import "syscall"

// dieWithParent has the kernel end a child when this process is gone, even if it
// was killed. Strictly it is when the thread that started the child is gone, and
// that lives as long as the process: only a goroutine that ends while locked to
// its thread takes it along, and none here is.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr {
	attr.Pdeathsig = syscall.SIGTERM
	return attr
}
