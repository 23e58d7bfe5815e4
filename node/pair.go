package node

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"

	"peer/wire"
)

// streamPair is a stream whose both ends are in this process.
func streamPair() (a, b wire.Stream, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair: %w", err)
	}
	ends := make([]wire.Stream, 2)
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "session")
		conn, err := net.FileConn(f)
		_ = f.Close() // FileConn has its own
		if err != nil {
			return nil, nil, fmt.Errorf("socket pair: %w", err)
		}
		ends[i] = localStream{conn.(*net.UnixConn)}
	}
	return ends[0], ends[1], nil
}

// localStream is one end. A reset is a close: the other side sees the end early,
// and every message says itself whether it is whole.
type localStream struct{ *net.UnixConn }

func (s localStream) Reset() error { return s.Close() }
