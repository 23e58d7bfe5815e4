package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// pathBytesMax is the longest path that a socket address holds on Linux; other
// systems hold less (104 with the zero byte).
const pathBytesMax = 103

// socket is the listening unix socket, and the file that names it.
type socket struct {
	*net.UnixListener
	path string
	file os.FileInfo // the one that we made; a successor's is never removed
}

// listenSocket binds path with mode 0600. What a dead process left there is
// removed; a socket on which somebody answers is refused. Two processes that
// race for one path are kept apart by the lock of the home, not here.
func listenSocket(path string) (*socket, error) {
	if err := removeStale(path); err != nil {
		return nil, err
	}
	var listener *net.UnixListener
	config := net.ListenConfig{Control: ownerOnly}
	err := withShortPath(path, func(short string) error {
		l, err := config.Listen(context.Background(), "unix", short)
		if err == nil {
			listener = l.(*net.UnixListener)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	listener.SetUnlinkOnClose(false) // its idea of the path may be the short one
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, listener.Close(), os.Remove(path))
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return &socket{UnixListener: listener, path: path, file: info}, nil
}

// ownerOnly sets the mode of a socket before it is bound, so that the file is
// never more open than that. Not every system can; the mode is set again after.
func ownerOnly(_, _ string, c syscall.RawConn) error {
	return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
}

func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is in the way: it is not a socket", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	conn, err := dialSocket(ctx, path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("%s: another node answers there", path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path) // nobody has it open for listening
	case errors.Is(err, fs.ErrNotExist):
		return nil
	default:
		return fmt.Errorf("%s: cannot tell whether a node answers there: %w", path, err)
	}
}

// remove takes the socket file away, unless it is another's by now.
func (s *socket) remove() error {
	info, err := os.Lstat(s.path)
	if err != nil || !os.SameFile(info, s.file) {
		return nil
	}
	return os.Remove(s.path)
}

func dialSocket(ctx context.Context, path string) (conn net.Conn, err error) {
	err = withShortPath(path, func(short string) (err error) {
		d := net.Dialer{Timeout: dialTimeout}
		conn, err = d.DialContext(ctx, "unix", short)
		return err
	})
	return conn, err
}

// withShortPath calls use with path, or with another spelling of it that fits
// into a socket address and holds while use runs.
func withShortPath(path string, use func(string) error) error {
	if len(path) <= pathBytesMax {
		return use(path)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	short := filepath.Join("/proc/self/fd", fmt.Sprint(dir.Fd()), filepath.Base(path))
	if _, err := os.Stat(filepath.Dir(short)); err != nil || len(short) > pathBytesMax {
		return fmt.Errorf("%s: longer than the %d bytes that a socket's path may have; choose a shorter home", path, pathBytesMax)
	}
	return use(short)
}
