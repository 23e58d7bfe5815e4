package git

import (
	"testing"

	"golang.org/x/sys/unix"
)

// Whatever runs in our own repositories has an end to its memory, but for the check
// that would take the want of it for damage.
func TestChildrenAreBounded(t *testing.T) {
	r := newRepo(t, SHA1)
	for _, c := range []struct {
		bytes int64
		want  uint64
	}{{0, childMemoryBytesMax}, {1 << 30, 1 << 30}, {-1, unix.RLIM_INFINITY}} {
		command := r.command("cat-file", "--batch")
		command.limits.memoryBytes = c.bytes
		p, err := command.prepare(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		stdin, err := p.cmd.StdinPipe() // it waits for a line
		if err != nil {
			t.Fatal(err)
		}
		if err := p.start(command); err != nil {
			t.Fatal(err)
		}
		var l unix.Rlimit
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_DATA, nil, &l); err != nil {
			t.Error(err)
		} else if want := min(c.want, l.Max); l.Cur != want {
			t.Errorf("asked for %d: a limit of %d bytes, want %d", c.bytes, l.Cur, want)
		}
		_ = stdin.Close()
		if err := p.wait(); err != nil {
			t.Error(err)
		}
	}
}
