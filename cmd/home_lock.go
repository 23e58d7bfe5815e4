package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// HomeLock is held by the node that runs in a home. It goes with the process,
// however that ends.
type HomeLock struct {
	file *os.File
	pid  string // path of the file that names the process
}

// Lock takes the home for a node and writes its process ID. It refuses while
// another node has it.
func (h *Home) Lock() (*HomeLock, error) {
	file, err := flock(h.path("lock"), false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		who := "another process"
		hint := "use that node, stop it first, or choose another home: --home DIR"
		if pid, ok := h.PID(); ok {
			who = fmt.Sprintf("process %d", pid)
			hint = fmt.Sprintf("use that node, stop it (kill %d), or choose another home: --home DIR", pid)
		}
		return nil, hinted(fmt.Errorf("a node already runs in home %s: %s", h.Dir, who), hint)
	}
	if err != nil {
		return nil, fmt.Errorf("lock home: %w", err)
	}
	l := &HomeLock{file: file, pid: h.PIDPath()}
	if err := writeFile(l.pid, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("write process ID: %w", err), file.Close())
	}
	return l, nil
}

// Close gives the home back.
func (l *HomeLock) Close() error {
	return errors.Join(os.Remove(l.pid), l.file.Close())
}

// PID is what the node in this home left in peer.pid; false where there is no
// such file. Only the lock says whether the process still runs.
func (h *Home) PID() (int, bool) {
	file, err := os.Open(h.PIDPath())
	if err != nil {
		return 0, false
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0, false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	return pid, err == nil && pid > 0
}
