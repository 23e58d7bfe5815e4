package git

import "syscall"

// endWithUs has the kernel kill a child when this process is killed: one that
// reads nothing more, as an index-pack that has its pack, would write into a
// repository that the next run of the node already uses. What such a child has
// started itself ends at its next write.
//
// NB: the kernel means the thread that started the child. Go ends no thread but
// one whose goroutine returned while locked to it, which nothing here does.
func endWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
