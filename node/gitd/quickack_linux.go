package gitd

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// quickAck sends the acknowledgement that is due, and the next ones at once. It
// is a wish; a kernel that refuses it is only slower.
func quickAck(raw syscall.RawConn) {
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1)
	})
}
